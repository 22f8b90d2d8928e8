"""The port for schedules that must not run twice. Its suite: tests/contracts/test_slots.py.

What lives here: the protocol. What must not: which slots there are (core/slots.py).
"""

from __future__ import annotations

from typing import Protocol


class Slots(Protocol):
    """Who is first to take a slot: a schedule and a time at which it is due.

    Contract: `claim` is True once for a slot, whoever asks from whichever process; `claimed_at`
    is when that was, None for one that nobody took.
    """

    def claim(self, schedule: str, due_at: float, now: float) -> bool: ...

    def claimed_at(self, schedule: str, due_at: float) -> float | None: ...
