"""What a timeline tells: moves, approvals, alerts that were not sent on their own.

What lives here: reading the lines that advance.py and watched.py write. What must not: any
decision; nothing but people's documents rests on a timeline.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.core.events import Entry
from orchestrator.core.failure import Failure
from orchestrator.core.incident import State

_YES = re.compile(r"recovering: rung \d+ of \d+, '.*': (approved|resumed) by .+", re.DOTALL)
_SUPPRESSED = "also ill because of it: "
_FALLBACK = "the fallback "


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


def approvals(timeline: Sequence[Entry]) -> tuple[Entry, ...]:
    """The lines in which a person let something begin."""
    return tuple(each for each in timeline if each.kind == "state" and _YES.fullmatch(each.text))


def suppressed(failure: Failure | None, timeline: Sequence[Entry]) -> tuple[str, ...]:
    """The alerts that were part of this one, each once: as first told, else as seen now."""
    told = [
        each.text.removeprefix(_SUPPRESSED)
        for each in timeline
        if each.kind == "watch" and each.text.startswith(_SUPPRESSED)
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
