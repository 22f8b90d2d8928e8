"""Places in captured histories: found exactly, and not hidden by what is damaged. No server."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tasks.backup import choosing, history
from tasks.backup.choosing import NotCovered
from tasks.backup.history import About
from tasks.backup.link import packed
from tasks.backup.segment import Segment

REPLID = "a" * 40


def begun(root: Path, number: int, at: int, offset: int = 0) -> Segment:
    folder = root / f"history-{number:06d}-x"
    (folder / history.LOG_FOLDER).mkdir(parents=True)
    history.complete(folder, About("here", float(at), REPLID, offset, 0, "", True))
    return Segment.reopened(folder, float(at))


def test_every_place_where_a_log_may_be_cut_is_found_and_no_other(tmp_path: Path) -> None:
    dice = random.Random(3)  # noqa: S311 - commands, not secrets
    segment = begun(tmp_path, 1, 100, offset=7000)
    wanted: dict[int, int] = {}
    for number in range(400):
        database = dice.randrange(3)
        commands = [("SELECT", str(database)), ("SET", f"k{number}", "x" * dice.randrange(3000))]
        if dice.random() < 0.3:
            commands = [("MULTI",), *commands, ("INCR", "n"), ("EXEC",)]
        for _ in range(dice.random() < 0.2):
            segment.seal()
            segment = segment.next(100 + number)
        segment.add_received(b"".join(packed(each) for each in commands), 100 + number // 7)
        wanted[segment.log.offset] = database
    segment.sync()
    folder = segment.folder
    assert history.segments(folder) > 20
    for offset, database in wanted.items():
        spot = choosing.find_spot(folder, offset)
        assert (spot.offset, spot.database, spot.replid) == (offset, database, REPLID)
        path = folder / history.LOG_FOLDER / history.segment_name(spot.segment)
        assert path.read_bytes()[: spot.position].endswith(b"\r\n")
        with pytest.raises(NotCovered, match="no command that ends at"):
            choosing.find_spot(folder, offset - 3)
    end = choosing.find_spot(folder, None)
    assert (end.offset, end.segment) == (max(wanted), history.segments(folder))
    with pytest.raises(NotCovered, match="begins after offset"):
        choosing.find_spot(folder, 6999)


def test_a_second_is_looked_for_in_the_newest_history_that_had_begun(tmp_path: Path) -> None:
    for number, at in ((1, 1000), (2, 2000), (3, 3000)):
        segment = begun(tmp_path, number, at)
        segment.add_received(packed(("SET", "a", "1")), at + 100)
        segment.sync()
        if number < 3:
            segment.seal()
    (tmp_path / "status.json").write_text(json.dumps({"covers_until": 3200.5}))

    def chosen(at: int) -> tuple[int, float]:
        folder, until = choosing.for_second(tmp_path, at)
        return int(folder.name.split("-")[1]), until

    assert chosen(1050) == (1, 1050.0)
    assert chosen(1900) == (1, 1100.0), "nothing was heard of the source between two histories"
    assert chosen(2000) == (2, 2000.0)
    assert chosen(3199) == (3, 3199.0)
    with pytest.raises(NotCovered, match="reaches until 1970-01-01T00:53:20Z"):
        chosen(3200)
    with pytest.raises(NotCovered, match="that begins at 1970-01-01T00:16:40Z"):
        chosen(999)
    (tmp_path / "history-000001-x" / history.ABOUT).write_text("{")
    assert chosen(2500) == (2, 2100.0), "what is damaged hides nothing else"
    with pytest.raises(NotCovered, match="that begins at 1970-01-01T00:33:20Z"):
        chosen(1050)


def test_nothing_was_captured(tmp_path: Path) -> None:
    with pytest.raises(NotCovered, match="nothing was captured in"):
        choosing.for_second(tmp_path, 5)


def test_which_histories_are_too_old() -> None:
    known = [history.Range(f"history-{n:06d}", n * 100, n * 100 + 99) for n in range(1, 6)]
    assert choosing.too_old(known, "history-000004", 250.0, 600.0) == (
        "history-000001",
        "history-000002",
    )
    assert choosing.too_old(known, "history-000001", 0.0, 10_000.0) == ()
