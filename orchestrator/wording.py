"""Durations and moments as people read them, on a terminal as on a page.

What lives here: two pure functions. What must not: layout and colour.
"""

from __future__ import annotations

from datetime import UTC, datetime


def duration(seconds: float | None) -> str:
    """`850 ms`, `12.3 s`, `2 min 5 s`, `2 h`."""
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f}".rstrip("0").rstrip(".") + " s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{hours} h" if hours else "", f"{minutes} min" if minutes else ""]
    return " ".join([each for each in [*parts, f"{rest} s" if rest else ""] if each])


def moment(at: float | None) -> str:
    """`2026-03-01 09:00:00Z`, in UTC as everywhere."""
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
