"""What list an agent takes, and that it holds it over a restart: real files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.contract import Json
from tests.workers.watching import NOW, ONE, STRANGER, identity, line, watch_list
from workers.watchlist import held_list, list_file, take_list

GOOD = watch_list(line())
REFUSED: Mapping[str, tuple[Mapping[str, Json], str]] = {
    "signed by a stranger": (watch_list(line(), key=STRANGER[0]).to_wire(), "forged"),
    "signed by the agent itself": (watch_list(line(), key=ONE[0]).to_wire(), "forged"),
    "changed after signing": (replace(GOOD, watches=[]).to_wire(), "forged"),
    "for another agent": (
        watch_list(line(), agent="two").to_wire(),
        "foreign: it is for the agent",
    ),
    "of another version": (GOOD.to_wire() | {"version": 2}, "WatchList: version 2"),
    "with a name twice": (watch_list(line(), line()).to_wire(), "WatchList: a name is there twice"),
    "without an interval": (
        watch_list(line(interval_s=0)).to_wire(),
        "WatchLine: the times of 'cache/local' must be above zero",
    ),
    "with a line that is none": (
        GOOD.to_wire() | {"watches": [{"name": "x"}]},
        "WatchLine: a line",
    ),
    "with a time that is no number": (GOOD.to_wire() | {"issued_at": float("nan")}, "WatchList: "),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_list_that_is_not_the_coordinators_is_refused(tmp_path: Path, case: str) -> None:
    message, reason = REFUSED[case]
    assert take_list(identity(tmp_path), message).startswith(reason)
    assert held_list(identity(tmp_path)) is None


def test_a_list_is_held_until_a_newer_one_comes(tmp_path: Path) -> None:
    me = identity(tmp_path)
    newer = watch_list(line("db/local"), issued_at=NOW + 1)
    assert take_list(me, GOOD.to_wire()) == ""
    assert held_list(me) == GOOD
    assert take_list(me, newer.to_wire()) == ""
    assert take_list(me, GOOD.to_wire()).startswith(
        "stale: this agent holds one that was issued 1 s"
    )
    assert held_list(me) == newer


@pytest.mark.parametrize("damage", ["", "{", "[]", '"text"'])
def test_a_damaged_file_is_no_list_and_is_replaced(tmp_path: Path, damage: str) -> None:
    me = identity(tmp_path)
    list_file(me).write_text(damage)
    assert held_list(me) is None
    assert take_list(me, GOOD.to_wire()) == ""
    assert held_list(me) == GOOD


def test_a_file_that_somebody_else_wrote_is_no_list(tmp_path: Path) -> None:
    me = identity(tmp_path)
    take_list(me, GOOD.to_wire())
    text = list_file(me).read_text()
    list_file(me).write_text(text.replace('"port": 1', '"port": 2'))
    assert held_list(me) is None


def test_the_digest_says_what_is_asked_whenever_it_was_issued() -> None:
    assert watch_list(line()).digest == watch_list(line(), issued_at=NOW + 9).digest
    assert watch_list(line()).digest != watch_list(line(interval_s=6.0)).digest
    assert watch_list(line()).digest != watch_list(line(), agent="two").digest
