"""What a timeline tells: moves, approvals, alerts that were not sent on their own.

What lives here: reading the lines that advance.py and watched.py write. What must not: any
decision; nothing but people's documents rests on a timeline.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from orchestrator.core.events import Entry
from orchestrator.core.failure import Failure
from orchestrator.core.incident import State

_YES = re.compile(r"recovering: rung \d+ of \d+, '.*': (approved|resumed) by .+", re.DOTALL)
#: How an incident ends that turned out to be part of another: nothing was seen well.
A_CONSEQUENCE_OF = "a consequence of "
PART_OF = "part of a failure of "
_SAID = re.compile(r".* \(said by .+\)", re.DOTALL)
ALSO_ILL = "also ill because of it: "
_FALLBACK = "the fallback "


def also_ill(consequence: str) -> str:
    """The line for what nobody is called about, because its cause has an incident."""
    return f"{ALSO_ILL}{consequence}"


def first_entries(failure: Failure, now: float) -> Iterator[Entry]:
    """What was seen when it was opened."""
    seconds = now - failure.first_bad_at
    text = f"{failure.services[0]} is {failure.health}, {failure.severity}: {failure.reason}"
    yield Entry(now, "watch", f"{text} (first seen {seconds:.1f} s ago)")
    for each in failure.consequences:
        yield Entry(now, "watch", also_ill(each))


@dataclass(frozen=True, slots=True)
class Move:
    """An incident came into a state."""

    at: float
    to: State
    reason: str


def moves(timeline: Sequence[Entry]) -> list[Move]:
    found = []
    for each in timeline:
        word, colon, reason = each.text.partition(": ")
        if each.kind == "state" and colon and word in set(State):
            found.append(Move(each.at, State(word), reason))
    return found


def resolution(state: State, timeline: Sequence[Entry]) -> Move | None:
    """How it came to be well. None if it is not, was closed without it, or is another's part."""
    told = [each for each in moves(timeline) if each.to is not State.CLOSED]
    if state not in (State.RESOLVED, State.CLOSED) or not told:
        return None
    last = told[-1]
    elsewhere = last.reason.startswith((A_CONSEQUENCE_OF, PART_OF))
    return last if last.to is State.RESOLVED and not elsewhere else None


def only_said(move: Move | None) -> bool:
    """Whether it is well only by what a person said."""
    return move is not None and _SAID.fullmatch(move.reason) is not None


def approvals(timeline: Sequence[Entry]) -> tuple[Entry, ...]:
    """The lines in which a person let something begin."""
    return tuple(each for each in timeline if each.kind == "state" and _YES.fullmatch(each.text))


def suppressed(failure: Failure | None, timeline: Sequence[Entry]) -> tuple[str, ...]:
    """The alerts that were part of this one, each once: as first told, else as seen now."""
    told = [
        each.text.removeprefix(ALSO_ILL)
        for each in timeline
        if each.kind == "watch" and each.text.startswith(ALSO_ILL)
    ]
    known = failure.consequences if failure else ()
    by_name: dict[str, str] = {}
    for each in (*told, *known):
        by_name.setdefault(each.partition(":")[0], each)
    return tuple(by_name.values())


def fallbacks(failure: Failure | None, timeline: Sequence[Entry]) -> tuple[Entry, ...]:
    """When a fallback began or ended to serve; one that served from the start has no line."""
    found = tuple(e for e in timeline if e.kind == "watch" and e.text.startswith(_FALLBACK))
    if not found and failure and failure.fallback:
        return (Entry(failure.detected_at, "watch", f"the fallback serves: {failure.fallback}"),)
    return found
