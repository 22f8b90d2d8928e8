"""Where a dump ends and where a log may be cut, whatever pieces the bytes come in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.backup.commandlog import CommandLog, NotALog, offset_line, stamp_line
from tasks.backup.link import packed
from tasks.backup.rdbstream import EndsKeeper, NotADump, Transfer

MARK = b"0123456789" * 4
DUMP = b"REDIS0010" + b"\xfe\x00abc" + b"\xff" + b"CHECKSUM"


def pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    found, at = [], 0
    for size in sizes:
        found.append(data[at : at + size])
        at += size
    return [*found, data[at:]]


SIZES = st.lists(st.integers(0, 60), max_size=20)


@given(dump=st.binary(max_size=300), rest=st.binary(max_size=90), sizes=SIZES, marked=st.booleans())
def test_a_dump_ends_where_the_server_says(
    dump: bytes, rest: bytes, sizes: list[int], marked: bool
) -> None:
    transfer = Transfer(b"$EOF:" + MARK if marked else b"$%d" % len(dump))
    got, after = bytearray(), bytearray()
    for piece in pieces(dump + (MARK if marked else b"") + rest, sizes):
        if transfer.complete:
            after += piece
            continue
        taken, left = transfer.feed(piece)
        got += taken
        after += left
    assert transfer.complete
    assert (bytes(got), bytes(after)) == (dump, rest)
    assert transfer.received == len(dump)


@given(cut=st.integers(0, len(DUMP) + len(MARK) - 1), marked=st.booleans())
def test_a_dump_that_breaks_off_is_never_complete(cut: int, marked: bool) -> None:
    transfer = Transfer(b"$EOF:" + MARK if marked else b"$%d" % len(DUMP))
    transfer.feed((DUMP + MARK)[: min(cut, len(DUMP) - 1 if not marked else cut)])
    assert not transfer.complete


@pytest.mark.parametrize("said", [b"-ERR no", b"", b"$", b"$EOF:short", b"$12x", b"+CONTINUE"])
def test_anything_else_is_no_dump(said: bytes) -> None:
    with pytest.raises(NotADump):
        Transfer(said)


@given(sizes=SIZES)
def test_the_ends_of_a_dump_are_kept(sizes: list[int]) -> None:
    keeper = EndsKeeper()
    for piece in pieces(DUMP, sizes):
        keeper.feed(piece)
    assert keeper.ends().version == 10
    assert keeper.ends().checksummed


@pytest.mark.parametrize(
    ("dump", "said"),
    [(b"", "empty"), (b"NOAUTH Authentication", "begins"), (DUMP[:-1], "cut off")],
)
def test_what_cannot_be_a_whole_dump_is_said(dump: bytes, said: str) -> None:
    keeper = EndsKeeper()
    keeper.feed(dump)
    with pytest.raises(NotADump, match=said):
        keeper.ends()


def test_a_dump_without_checksum_is_seen() -> None:
    keeper = EndsKeeper()
    keeper.feed(DUMP[:-8] + bytes(8))
    assert not keeper.ends().checksummed


WORDS = st.lists(st.binary(max_size=40), min_size=1, max_size=4)
PLAIN = st.one_of(
    WORDS.map(lambda words: (b"SET", *words)),
    st.integers(0, 15).map(lambda number: (b"SELECT", b"%d" % number)),
    st.just((b"PING",)),
)
UNITS = st.lists(
    st.one_of(
        PLAIN.map(lambda one: [one]),
        st.lists(PLAIN, max_size=3).map(lambda inner: [(b"MULTI",), *inner, (b"EXEC",)]),
    ),
    max_size=8,
)


@given(units=UNITS, sizes=SIZES)
def test_cuts_are_between_commands_and_outside_transactions(
    units: list[list[tuple[bytes, ...]]], sizes: list[int]
) -> None:
    wanted, data, selected = {0: 0}, b"", 0
    for unit in units:
        for words in unit:
            data += packed(words)
            if words[0] == b"SELECT":
                selected = int(words[1])
        wanted[len(data)] = selected
    log = CommandLog(offset=1000)
    for piece in pieces(data, sizes):
        before, first = log.position, log.feed(piece)
        within = [cut for cut in wanted if before < cut <= log.position]
        assert first == (within[0] if within else None)
        assert log.cut == max(cut for cut in wanted if cut <= log.position)
        assert log.database == wanted[log.cut]
        assert log.offset == 1000 + log.cut
    assert log.at_cut


def test_our_own_lines_say_when_and_where_and_count_for_nothing() -> None:
    command = packed(("SET", "a", "1"))
    log = CommandLog()
    log.feed(packed(("SELECT", "3")) + stamp_line(5) + offset_line("abc", 700) + command)
    assert (log.replid, log.offset, log.stamp) == ("abc", 700 + len(command), 5)
    assert (log.database, log.commands) == (3, 1)
    log.feed(stamp_line(6))
    assert (log.offset, log.stamp, log.at_cut) == (700 + len(command), 6, True)


@pytest.mark.parametrize("bad", [b"SET a 1\r\n", b"*x\r\n", b"*1\r\n:4\r\n", b"*" * 2000])
def test_what_is_no_log_is_said(bad: bytes) -> None:
    with pytest.raises(NotALog):
        CommandLog().feed(bad)


def test_a_question_for_the_place_reached_is_noticed() -> None:
    log = CommandLog()
    log.feed(packed(("REPLCONF", "GETACK", "*")))
    assert log.asked_for_ack
