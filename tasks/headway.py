"""How far something long is: bytes done and in all, how fast, how long it will still take.

What lives here: what an operation may say while it acts (`Tell`), and the meter that makes a
rate of it. Pure; the clock is an argument. What must not: sending it anywhere, and any decision:
nothing but people's eyes rests on these figures.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

EVERY_SECONDS = 2.0  #: between two that are told; what comes in between is passed over
WINDOW_SECONDS = 20.0  #: of which the rate is


@dataclass(frozen=True, slots=True)
class Moved:
    """So many bytes of so many; 0 in all where that is not known."""

    what: str  #: being done with them, as in "receiving the dump"
    done: int
    total: int = 0


@dataclass(frozen=True, slots=True)
class Pace:
    """What moved, with what a meter knows of it. None where nothing can be said yet."""

    moved: Moved
    per_second: float | None
    left_s: float | None


def _nothing(_said: object) -> None:
    """Nobody listens."""


def _keep_on() -> None:
    """Nobody would have ended it."""


@dataclass(frozen=True, slots=True)
class Tell:
    """What an operation may say while it acts: a line, how far it is, and that it must go on."""

    say: Callable[[str], None] = _nothing
    moved: Callable[[Moved], None] = _nothing
    #: From here on it must not be ended any more: half of it would be worse than all or nothing.
    keep_on: Callable[[], None] = _keep_on

    def __call__(self, text: str) -> None:
        self.say(text)


SILENT = Tell()


class Meter:
    """Makes a pace of what moves, now and then."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()
        self._what, self._told_at = "", 0.0

    def take(self, moved: Moved, now: float) -> Pace | None:
        """The pace, if it is time to tell it again. Something short is never told."""
        backwards = bool(self._seen) and moved.done < self._seen[-1][1]
        if moved.what != self._what or backwards:
            self._seen.clear()
            self._what, self._told_at = moved.what, now
        self._seen.append((now, moved.done))
        while now - self._seen[0][0] > WINDOW_SECONDS and len(self._seen) > 2:
            self._seen.popleft()
        if now - self._told_at < EVERY_SECONDS:
            return None
        self._told_at = now
        return self._pace(moved)

    def _pace(self, moved: Moved) -> Pace:
        (since, before), (until, after) = self._seen[0], self._seen[-1]
        if until <= since or after <= before:
            return Pace(moved, None, None)
        rate = (after - before) / (until - since)
        left = (moved.total - moved.done) / rate if moved.total >= moved.done > 0 else None
        return Pace(moved, rate, left)


def in_words(pace: Pace) -> str:
    """For people, as in "receiving the dump: 37 MB of 200 MB (18 %), 12 MB/s, 14 s left"."""
    moved = pace.moved
    parts = [size(moved.done)]
    if moved.total:
        share = min(100 * moved.done // moved.total, 100)
        parts = [f"{size(moved.done)} of {size(moved.total)} ({share} %)"]
    if pace.per_second is not None:
        parts.append(f"{size(pace.per_second)}/s")
    if pace.left_s is not None:
        parts.append(f"{_span(pace.left_s)} left")
    return f"{moved.what}: {', '.join(parts)}"


def size(count: float) -> str:
    """To three figures, in powers of a thousand as disks and networks are sold."""
    units = ["B", "kB", "MB", "GB", "TB"]
    while count >= 999.5 and len(units) > 1:
        count, units = count / 1000, units[1:]
    return f"{count:.3g} {units[0]}"


def _span(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"
