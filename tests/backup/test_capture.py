"""The capture process against real servers: nothing that was acknowledged is ever lost."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks.backup import history
from tasks.backup.link import Link, LinkFault, packed
from tasks.backup.segment import Segment
from tests.backup.rig import Redis, capture, info, loaded, redis, source_offset
from tests.integration.rig import wait_for


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Redis]:
    with redis(tmp_path / "source") as server:
        yield server


def busy(server: Redis) -> None:
    """A bit of everything that a stream may hold."""
    server.fill(200)
    server.ask("HSET", "hash", "f", b"\x00\xff\r\n*3\r\n", database=3)
    server.ask("SET", "expires", "soon", "EX", "1000", database=1)
    with Link(server.server) as link:
        link.ask_all([("MULTI",), ("SELECT", "5"), ("SET", "a", "1"), ("INCR", "a"), ("EXEC",)])
        link.ask_all([("MULTI",), ("SET", "b", "x" * 300_000), ("DEL", "b"), ("EXEC",)])
    server.ask("EVAL", "redis.call('SET', 'lua', 1) redis.call('INCR', 'lua')", "0")
    server.ask("FUNCTION", "LOAD", "#!lua name=l\nredis.register_function('f', function() end)")
    server.ask("DEL", "doc:7")


def test_a_plain_server_loads_what_was_captured(source: Redis, tmp_path: Path) -> None:
    source.fill(500, "before:")
    with capture(tmp_path / "c", source, segment_bytes=5000, segment_seconds=1.5) as made:
        made.wait_covered()
        for _ in range(3):
            busy(source)
            time.sleep(1.1)
        made.wait_covered()
        status = made.status()
        assert status["lag_bytes"] == 0
        assert status["lag_seconds"] < 5
    assert status["segment"] >= 2, "segments were sealed"
    (folder,) = made.histories()
    assert not list(history.faults(folder))
    with loaded(tmp_path / "copy", folder) as copy:
        assert copy.digest() == source.digest()
        assert info(copy, "memory")["number_of_functions"] == "1"


def test_a_source_that_would_save_on_its_own_disk_is_refused_with_the_remedy(
    source: Redis, tmp_path: Path
) -> None:
    source.ask("CONFIG", "SET", "repl-diskless-sync", "no")
    with capture(tmp_path / "c", source) as made:
        wait_for("a status", lambda: made.status().get("state") == "waiting")
        assert "CONFIG SET repl-diskless-sync yes" in made.status()["reason"]
        source.ask("CONFIG", "SET", "repl-diskless-sync", "yes")
        made.wait_covered()


def test_a_wrong_password_is_said_and_the_right_one_taken(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("nonsense\n")
    password.chmod(0o600)
    with redis(tmp_path / "source") as source:
        source.ask("SET", "a", "1")
        source.ask("CONFIG", "SET", "requirepass", "right")
        with capture(tmp_path / "c", source, password_file=str(password)) as made:
            wait_for("a status", lambda: made.status().get("state") == "waiting")
            reason = made.status()["reason"]
            assert str(password) in reason
            assert "nonsense" not in reason
            password.write_text("right\n")
            wait_for("it", lambda: made.status().get("state") == "following")


def test_a_user_with_few_rights_and_a_source_that_sends_from_its_disk(tmp_path: Path) -> None:
    """Without the right to ask, nothing is known of the disk; the stream comes with its size."""
    password = tmp_path / "password"
    password.write_text("secret\n")
    with redis(tmp_path / "source", repl_diskless_sync="no") as source:
        source.ask("ACL", "SETUSER", "backup", "on", ">secret", "+psync", "+replconf", "+ping")
        source.fill(100)
        with capture(tmp_path / "c", source, user="backup", password_file=str(password)) as made:
            wait_for("it", lambda: made.status().get("state") == "following")
            source.ask("SET", "a", "1")
            wanted = source_offset(source)
            wait_for("all", lambda: made.status().get("offset", 0) >= wanted)
            assert made.status()["lag_bytes"] is None, "not known without +info"
        with loaded(tmp_path / "copy", made.histories()[0]) as copy:
            assert copy.digest() == source.digest()


@contextmanager
def writing(source: Redis) -> Iterator[list[int]]:
    """Somebody counts up in a list, in the background, a thousand times a second."""
    count, over = [0], threading.Event()

    def write() -> None:
        with Link(source.server) as link:
            while not over.is_set():
                try:
                    link.ask("RPUSH", "log", str(count[0]))
                except LinkFault:
                    return
                count[0] += 1
                time.sleep(0.001)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield count
    finally:
        over.set()
        thread.join()


def test_a_killed_capture_goes_on_without_a_gap_or_a_doubled_command(
    source: Redis, tmp_path: Path
) -> None:
    dice = random.Random(4)  # noqa: S311 - moments, not secrets
    with capture(tmp_path / "c", source, segment_bytes=20_000, segment_seconds=1.0) as made:
        made.wait_covered()
        with writing(source):
            for _ in range(8):
                time.sleep(dice.uniform(0.3, 1.3))
                made.process.kill()
                made.process.start()
        made.wait_covered()
    assert len(made.histories()) == 1, "it went on with the same history"
    assert info(source, "stats")["sync_full"] == "1"
    assert not list(history.faults(made.histories()[0]))
    with loaded(tmp_path / "copy", made.histories()[0]) as copy:
        assert copy.digest() == source.digest()


def test_a_capture_killed_while_it_receives_the_dump_leaves_no_half_history(
    source: Redis, tmp_path: Path
) -> None:
    source.ask("DEBUG", "POPULATE", "300000", "doc", "100")
    source.ask("CONFIG", "SET", "rdb-key-save-delay", "10")
    with capture(tmp_path / "c", source) as made:
        wait_for("the dump", lambda: made.status().get("state") == "syncing")
        time.sleep(0.3)
        made.process.kill()
        assert not made.histories()
        source.ask("CONFIG", "SET", "rdb-key-save-delay", "0")
        made.process.start()
        made.wait_covered(60)
    assert not list(made.root.glob("incoming-*"))
    with loaded(tmp_path / "copy", made.histories()[0]) as copy:
        assert copy.digest() == source.digest()


def test_an_emptied_or_restarted_source_erases_nothing(tmp_path: Path) -> None:
    with redis(tmp_path / "source") as source:
        source.fill(1000)
        full = source.digest()
        with capture(tmp_path / "c", source) as made:
            made.wait_covered()
            source.kill()
            source.start()
            assert source.ask("DBSIZE") == 0
            made.wait_covered()
            source.ask("SET", "new", "1")
            made.wait_covered()
    old, new = made.histories()
    with loaded(tmp_path / "old", old) as copy:
        assert copy.digest() == full
    with loaded(tmp_path / "new", new) as copy:
        assert copy.ask("DBSIZE") == 1


def test_a_mass_delete_is_in_the_log_with_its_second_and_can_be_left_out(
    source: Redis, tmp_path: Path
) -> None:
    with capture(tmp_path / "c", source) as made:
        made.wait_covered()
        busy(source)
        before = source.digest()
        time.sleep(2.1)
        at = int(time.time())
        source.ask("FLUSHALL")
        made.wait_covered()
    log = made.histories()[0] / history.LOG_FOLDER / history.segment_name(1)
    content = log.read_bytes()
    stamps = [int(line[4:]) for line in content.split(b"\r\n") if line.startswith(b"#TS:")]
    assert stamps == sorted(stamps)
    cut = content.index(b"#TS:%d\r\n" % min(stamp for stamp in stamps if stamp >= at))
    log.write_bytes(content[:cut])
    with loaded(tmp_path / "copy", made.histories()[0]) as copy:
        assert copy.digest() == before


def test_a_damaged_open_segment_begins_a_new_history_beside_the_old(
    source: Redis, tmp_path: Path
) -> None:
    with capture(tmp_path / "c", source) as made:
        made.wait_covered()
        source.fill(100)
        made.wait_covered()
        made.process.kill()
        log = made.histories()[0] / history.LOG_FOLDER / history.segment_name(1)
        content = bytearray(log.read_bytes())
        content[len(content) // 2 : len(content) // 2 + 40] = b"\x00" * 40
        log.write_bytes(content)
        made.process.start()
        made.wait_covered()
        assert len(made.histories()) == 2
        assert log.read_bytes()[: len(content)] == content, "kept for whoever wants to save it"
    with loaded(tmp_path / "copy", made.histories()[1]) as copy:
        assert copy.digest() == source.digest()


def test_a_second_capture_of_the_same_folder_is_refused(source: Redis, tmp_path: Path) -> None:
    with capture(tmp_path / "c", source) as made:
        made.wait_covered()
        with capture(tmp_path / "c", source) as second:
            assert second.process.child.wait(timeout=10) == 1
        assert "another capture" in second.process.log.read_text()


def test_told_to_stop_it_ends_with_everything_on_the_disk(source: Redis, tmp_path: Path) -> None:
    with capture(tmp_path / "c", source) as made:
        made.wait_covered()
        busy(source)
        made.wait_covered()
        made.process.stop()
        assert made.process.child.returncode == 0
        assert made.status()["state"] == "stopped"
        made.process.start()
        made.wait_covered()
    assert info(source, "stats")["sync_full"] == "1"


def test_a_full_disk_is_said_before_it_is_full(source: Redis, tmp_path: Path) -> None:
    with capture(tmp_path / "c", source, free_bytes=10**18) as made:
        wait_for("a status", lambda: made.status().get("state") == "waiting")
        assert "must be left are free" in made.status()["reason"]
        assert not made.histories()


def test_any_change_of_what_was_sealed_is_found(source: Redis, tmp_path: Path) -> None:
    with capture(tmp_path / "c", source, segment_seconds=0.5) as made:
        made.wait_covered()
        for _ in range(2):
            source.fill(10)
            made.wait_covered()
            time.sleep(1.2)
    (folder,) = made.histories()
    assert len(history.read_chain(folder)) >= 2
    for name in ("appendonly.aof.1.base.rdb", "appendonly.aof.1.incr.aof"):
        file = folder / history.LOG_FOLDER / name
        whole = file.read_bytes()
        file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        assert [str(file) in each for each in history.faults(folder)] == [True]
        file.write_bytes(whole)
    _, *others = (folder / history.CHAIN).read_text().splitlines(keepends=True)
    (folder / history.CHAIN).write_text("".join(others))
    assert "does not follow" in next(history.faults(folder))


def test_times_in_the_log_rise_when_the_clock_jumps(tmp_path: Path) -> None:
    (tmp_path / history.LOG_FOLDER).mkdir()
    begin = history.About("here", 100.0, "a" * 40, 0, 0, "", True)
    history.complete(tmp_path, begin)
    segment = Segment.reopened(tmp_path, 100.0)
    for now in (101, 150, 90, 120, 151):
        segment.add_received(packed(("SET", "a", str(now))), now)
    segment.close()
    log = (tmp_path / history.LOG_FOLDER / history.segment_name(1)).read_bytes()
    stamps = [int(line[4:]) for line in log.split(b"\r\n") if line.startswith(b"#TS:")]
    assert stamps == [100, 101, 150, 151]
    again = Segment.reopened(tmp_path, 60.0)
    assert (again.log.offset, again.stamp) == (segment.log.offset, 151)
    again.close()
