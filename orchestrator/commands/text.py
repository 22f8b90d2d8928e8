"""Words and layout for people: durations, times, tables, colours. Plain when not a terminal.

What lives here: what several commands need to show things alike. What must not: asking anybody.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

#: Without a terminal nothing is wrapped: what reads it is a program or a file.
WIDE = 1000

_COLOURS = {
    **dict.fromkeys(("healthy", "resolved", "done"), "green"),
    **dict.fromkeys(("unchanged", "closed"), "green dim"),
    **dict.fromkeys(
        ("degraded", "warning", "awaiting_approval", "recovering", "verifying"), "yellow"
    ),
    **dict.fromkeys(
        ("down", "critical", "escalated", "failed", "refused", "timed_out"), "bold red"
    ),
    "unknown": "magenta",
}


def console() -> Console:
    width = None if sys.stdout.isatty() else WIDE
    return Console(width=width, highlight=False, markup=False, emoji=False)


def word(text: str) -> Text:
    """A state, a health or an outcome in its colour; the word itself says the same."""
    return Text(text.replace("_", " "), style=_COLOURS.get(text, ""))


def moment(at: str | None) -> datetime | None:
    return None if at is None else datetime.fromisoformat(at)


def clock(at: str | None) -> str:
    """Date and time of an RFC 3339 time, in UTC as everywhere."""
    return "" if at is None else f"{at[:10]} {at[11:19]}Z"


def between(start: str | None, end: str | None) -> float | None:
    first, last = moment(start), moment(end)
    return (last - first).total_seconds() if first and last else None


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """Columns without lines. The last one takes the rest of the width and wraps."""
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for head in heads[:-1]:
        made.add_column(head, no_wrap=True)
    made.add_column(heads[-1], overflow="fold")
    for row in rows:
        made.add_row(*(each if isinstance(each, Text) else Text(str(each)) for each in row))
    return made
