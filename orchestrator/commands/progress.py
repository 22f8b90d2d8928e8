"""How far a step is, while a run is followed: a line that moves, or one now and then.

What lives here: showing it. What must not: following the run (follow.py). On a terminal the
newest stands below the timeline and is gone with its step; elsewhere a line is printed every
few seconds, because what was printed stays.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tasks.headway import Moved, Pace, in_words

PLAIN_SECONDS = 10.0  #: between two printed lines about one step
BAR_WIDTH = 24


class Line(Protocol):
    """Shows the newest progress, until its block ends."""

    def show(self, progress: Mapping[str, Any]) -> None: ...


def line_for(out: Console) -> AbstractContextManager[Line]:
    return MovingLine(out) if out.is_terminal else PlainLine(out)


def words(progress: Mapping[str, Any]) -> str:
    moved = Moved(progress["what"], progress["done_bytes"], progress["total_bytes"] or 0)
    said = in_words(Pace(moved, progress["bytes_per_s"], progress["left_s"]))
    return f"{progress['operation']} on {progress['machine']}: {said}"


class NoLine:
    """For whoever reads JSON."""

    def __enter__(self) -> NoLine:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing was shown."""

    def show(self, progress: Mapping[str, Any]) -> None:
        """Not to a program."""


class PlainLine(NoLine):
    """One line for each step every few seconds."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._shown: dict[str, float] = {}

    def show(self, progress: Mapping[str, Any]) -> None:
        now, step = time.monotonic(), progress["step"]
        if now - self._shown.get(step, -PLAIN_SECONDS) >= PLAIN_SECONDS:
            self._shown[step] = now
            self._out.print(f"{progress['at'][11:19]}Z  {words(progress)}")


class MovingLine(NoLine):
    """One line below everything else, replaced in place."""

    def __init__(self, out: Console) -> None:
        self._live = Live(console=out, auto_refresh=False, transient=True)

    def __enter__(self) -> MovingLine:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, progress: Mapping[str, Any]) -> None:
        row = Table.grid(padding=(0, 1, 0, 0))
        total = progress["total_bytes"]
        done = progress["done_bytes"]
        # Without a known end the bar only shows that something moves.
        row.add_row(
            ProgressBar(total=total, completed=done, width=BAR_WIDTH, pulse=total is None),
            Text(words(progress), overflow="ellipsis", no_wrap=True),
        )
        self._live.update(row, refresh=True)
