"""Ending what an agent is at: at any command, in the middle of one, and not past the point where
half of it would be worse than all or nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tasks.contract import Outcome
from tasks.ending import EndableHost, Ended
from tasks.host import LocalHost
from tasks.operation import Act, Met, Operation, Tell, Unmet, carry_out, only_look


@dataclass(frozen=True, slots=True)
class Wanted:
    place: str
    keeps_on: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    there: tuple[str, ...]


def look(host: Any, wanted: Wanted) -> Seen:
    return Seen(tuple(sorted(host.run(("ls", wanted.place), seconds=10).out.split())))


def act(host: Any, wanted: Wanted, tell: Tell) -> None:
    """Makes `half`, takes a while, makes `whole`; what it began is put away when it fails."""
    host.run(("touch", f"{wanted.place}/half"), seconds=10)
    if wanted.keeps_on:
        tell.keep_on()
    tell("half of it is there")
    try:
        host.run(("sleep", "1.5"), seconds=10)
        host.run(("touch", f"{wanted.place}/whole"), seconds=10)
    finally:
        host.run(("rm", f"{wanted.place}/half"), seconds=10)


def judge(_wanted: Wanted, _before: Seen, now: Seen) -> Met | Unmet:
    return Met("whole") if now.there == ("whole",) else Unmet(f"there is {now.there}")


LONG = Operation(
    "test.long", "", Wanted, Seen, look, lambda _w, _s: Act(), act, judge, seconds=60, endable=True
)


class Asked:
    """Somebody who wants it ended from the moment on at which half of it is there."""

    def __init__(self) -> None:
        self.reason = ""

    def host(self) -> EndableHost:
        return EndableHost(LocalHost(), lambda: self.reason)

    def when_half(self, _text: str) -> None:
        self.reason = "ended: cancelled by eve"


def done(tmp_path: Path, asked: Asked, **more: bool) -> Any:
    host = asked.host()
    tell = Tell(asked.when_half, keep_on=host.keep_on)
    arguments = {"place": str(tmp_path), **more}
    return carry_out(host, LONG, arguments, ends=host.now() + 30, tell=tell)


def test_it_is_ended_in_the_middle_of_a_command_and_puts_away_what_it_began(
    tmp_path: Path,
) -> None:
    begun = time.monotonic()
    result = done(tmp_path, Asked())
    assert time.monotonic() - begun < 1.4
    assert (result.outcome, result.reason) == (
        Outcome.FAILED,
        "ended: cancelled by eve; there is ()",
    )
    assert list(tmp_path.iterdir()) == []


def test_what_must_go_on_goes_on_to_its_end(tmp_path: Path) -> None:
    result = done(tmp_path, Asked(), keeps_on=True)
    assert (result.outcome, result.reason) == (Outcome.DONE, "whole")


def test_one_that_is_not_wanted_any_more_is_not_kept_on_with() -> None:
    asked = Asked()
    host = asked.host()
    asked.reason = "ended: too late"
    with pytest.raises(Ended):
        host.keep_on()
    host.keep_on()
    assert host.run(("true",), seconds=10).ok


def test_one_that_only_waits_stops_waiting(tmp_path: Path) -> None:
    waiting = only_look(
        "test.wait", "", Wanted, Seen, look, lambda _w, _s: Unmet("not yet"), seconds=60
    )
    begun = time.monotonic()
    host = EndableHost(
        LocalHost(), lambda: "ended: no more" if time.monotonic() - begun > 0.5 else ""
    )
    result = carry_out(host, waiting, {"place": str(tmp_path)}, ends=host.now() + 30)
    assert (result.outcome, result.reason) == (Outcome.FAILED, "ended: no more")
    assert time.monotonic() - begun < 5
