"""The port for what is remembered of starts. Its contract suite: tests/contracts/test_starts.py.

What lives here: the protocol. What must not: learning from it (core/grace.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Starts(Protocol):
    """How long each start of a service took until it was seen healthy, in seconds.

    Contract: `add` keeps one row for an invocation, the first; `of` gives the newest `limit`,
    the oldest of them first.
    """

    def add(self, service: str, invocation: str, started_at: float, took_s: float) -> None: ...

    def of(self, service: str, *, limit: int = 50) -> Sequence[float]: ...
