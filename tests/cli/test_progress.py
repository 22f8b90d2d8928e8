"""How progress looks on a terminal, and where there is none."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from orchestrator.commands.progress import line_for

SAID: dict[str, Any] = {
    "step": "inc-1.0.0.1",
    "operation": "redis.backup",
    "machine": "vault",
    "at": "2026-11-28T02:00:04.000Z",
    "what": "loading it in a scratch server",
    "done_bytes": 50_000_000,
    "total_bytes": 200_000_000,
    "bytes_per_s": 25_000_000.0,
    "left_s": 6.0,
}
WORDS = "redis.backup on vault: loading it in a scratch server: 50 MB of 200 MB (25 %), 25 MB/s"


def shown(terminal: bool, *said: dict[str, Any]) -> str:
    out = Console(file=io.StringIO(), force_terminal=terminal, width=160, color_system=None)
    with line_for(out) as line:
        for each in said:
            line.show(each)
            out.print("a line of the timeline")
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def test_on_a_terminal_the_newest_stands_below_and_is_gone_at_the_end() -> None:
    unknown = {**SAID, "total_bytes": None, "bytes_per_s": None, "left_s": None}
    text = shown(True, SAID, unknown)
    assert WORDS in text
    assert "━" in text
    assert "in a scratch server: 50 MB" in text.rpartition(WORDS)[2]
    # The last that is written takes the line away.
    assert text.endswith(("\x1b[2K", "\x1b[?25h"))


def test_elsewhere_one_line_stays_for_each_step_now_and_then() -> None:
    text = shown(False, SAID, SAID, {**SAID, "step": "inc-1.0.1.1"})
    assert text.count(WORDS) == 2
    assert text.splitlines()[0].startswith("02:00:04Z  redis.backup on vault")
