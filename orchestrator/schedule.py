"""When each watch is asked next: one heap of due times, and how late the starts were.

What lives here: the arithmetic. What must not: a clock, a thread, asking; watcher.py gives the
time, which is the monotonic one, because the wall clock may jump.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.core.health import Watch


@dataclass(frozen=True, slots=True)
class Due:
    """A watch that is to be asked now, and since when."""

    watch: Watch
    at: float
    missed: int  #: times that went by altogether since then; they are not made up for


class Schedule:
    """A watch is due at its first time plus whole intervals, whatever asking it takes."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Watch]] = []

    def replace(self, watches: Iterable[Watch], now: float) -> None:
        """Another set. Who stays keeps its times; new ones are spread evenly over their interval.

        Those with one interval would otherwise be due together for ever.
        """
        kept = {(each.name, each.interval_s): at for at, _, each in self._heap}
        asked = list(watches)
        new = [each for each in asked if (each.name, each.interval_s) not in kept]
        among, before = Counter(each.interval_s for each in new), Counter[float]()
        for each in new:
            share = before[each.interval_s] / among[each.interval_s]
            kept[each.name, each.interval_s] = now + each.interval_s * share
            before[each.interval_s] += 1
        # The number keeps heapq from comparing watches.
        self._heap = [(kept[e.name, e.interval_s], number, e) for number, e in enumerate(asked)]
        heapq.heapify(self._heap)

    def next_at(self) -> float | None:
        return self._heap[0][0] if self._heap else None

    def take(self, now: float) -> list[Due]:
        """All that are due, each once; from now on they are due at their next time."""
        due = []
        while self._heap and self._heap[0][0] <= now:
            at, number, watch = self._heap[0]
            missed = int((now - at) // watch.interval_s)
            heapq.heapreplace(self._heap, (at + (missed + 1) * watch.interval_s, number, watch))
            due.append(Due(watch, at, missed))
        return due


@dataclass(frozen=True, slots=True)
class Lateness:
    """From due to started, in seconds. The percentiles are at most an eighth too high."""

    p50: float
    p99: float
    max: float
    count: int
    skipped: int  #: of them never started: too many of the same watch were still out


class Histogram:
    """Of the last one or two windows, so that a week of calm does not hide a bad minute."""

    LEAST, STEP, BINS = 0.0005, 1.125, 128  #: seconds, ratio; the last bin ends at 28 minutes

    def __init__(self, window_s: float = 300.0) -> None:
        self._window_s = window_s
        self._began = -math.inf
        self._older, self._newer = _Counts(), _Counts()

    def add(self, lateness: float, now: float, *, skipped: int = 0) -> None:
        """One that was started so late, or so many that were skipped."""
        if now - self._began >= self._window_s:
            old = now - self._began >= 2 * self._window_s
            self._older, self._newer = _Counts() if old else self._newer, _Counts()
            self._began = now
        ratio = max(lateness, self.LEAST) / self.LEAST
        place = min(math.ceil(math.log(ratio, self.STEP)), self.BINS - 1)
        self._newer.bins[place] += skipped or 1
        self._newer.max = max(self._newer.max, lateness)
        self._newer.skipped += skipped

    def so_far(self) -> Lateness:
        both = (self._older, self._newer)
        bins = [sum(pair) for pair in zip(*(each.bins for each in both), strict=True)]
        highest = max(each.max for each in both)
        return Lateness(
            min(self._percentile(bins, 50), highest),
            min(self._percentile(bins, 99), highest),
            highest,
            sum(bins),
            sum(each.skipped for each in both),
        )

    def _percentile(self, bins: list[int], percent: int) -> float:
        wanted, seen = sum(bins) * percent / 100, 0
        for place, count in enumerate(bins):
            seen += count
            if seen >= wanted and seen:
                return math.inf if place == self.BINS - 1 else self.LEAST * self.STEP**place
        return 0.0


class _Counts:
    def __init__(self) -> None:
        self.bins = [0] * Histogram.BINS
        self.max = 0.0
        self.skipped = 0
