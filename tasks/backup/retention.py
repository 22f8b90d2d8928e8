"""Which backups are kept, and which may go. Pure.

What lives here: the rule. What must not: removing anything. The newest verified backup is kept
whatever the numbers say, and so is everything while there is none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tasks.backup.manifest import State


@dataclass(frozen=True, slots=True)
class Dated:
    """A backup as far as its keeping is concerned."""

    id: str
    taken_at: float
    state: State


@dataclass(frozen=True, slots=True)
class Keep:
    """The newest verified of so many days, weeks and months; and all that is younger."""

    within_s: float
    daily: int
    weekly: int
    monthly: int


def may_go(known: Sequence[Dated], keep: Keep, now: float) -> tuple[str, ...]:
    """The ids of those that are not kept, the oldest first."""
    good = sorted((e for e in known if e.state is State.VERIFIED), key=lambda e: -e.taken_at)
    if not good:
        return ()
    kept = {good[0].id, *_of_each(good, keep)}
    # One that failed or was never proved is evidence for a while, and nothing else.
    old = [e for e in known if e.id not in kept and now - e.taken_at > keep.within_s]
    return tuple(e.id for e in sorted(old, key=lambda e: (e.taken_at, e.id)))


def _of_each(good: Sequence[Dated], keep: Keep) -> Iterator[str]:
    rules: tuple[tuple[int, Callable[[float], str]], ...] = (
        (keep.daily, lambda at: time.strftime("%Y-%m-%d", time.gmtime(at))),
        (keep.weekly, lambda at: time.strftime("%G-%V", time.gmtime(at))),
        (keep.monthly, lambda at: time.strftime("%Y-%m", time.gmtime(at))),
    )
    for count, period_of in rules:
        seen: set[str] = set()
        for each in good:
            period = period_of(each.taken_at)
            if period not in seen and len(seen) < count:
                seen.add(period)
                yield each.id
