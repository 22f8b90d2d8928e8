"""Slots in SQL, and in memory. The port and its contract: orchestrator/slots.py."""

from __future__ import annotations

from threading import Lock

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from orchestrator.store.tables import SLOTS
from orchestrator.store.transaction import transaction


class SqlSlots:
    """`Slots` in a database."""

    def __init__(self, reads: sa.Engine, writes: sa.Engine) -> None:
        self._reads, self._writes = reads, writes
        insert = postgresql.insert if writes.dialect.name == "postgresql" else sqlite.insert
        self._claim = insert(SLOTS).on_conflict_do_nothing().returning(SLOTS.c.due_at)

    def claim(self, schedule: str, due_at: float, now: float) -> bool:
        row = {"schedule": schedule, "due_at": due_at, "claimed_at": now}
        with transaction(self._writes) as connection:
            return connection.execute(self._claim, row).first() is not None

    def claimed_at(self, schedule: str, due_at: float) -> float | None:
        query = sa.select(SLOTS.c.claimed_at).where(
            SLOTS.c.schedule == schedule, SLOTS.c.due_at == due_at
        )
        with transaction(self._reads) as connection:
            return connection.execute(query).scalar_one_or_none()


class MemorySlots:
    """The twin."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._taken: dict[tuple[str, float], float] = {}

    def claim(self, schedule: str, due_at: float, now: float) -> bool:
        with self._lock:
            if (schedule, due_at) in self._taken:
                return False
            self._taken[schedule, due_at] = now
            return True

    def claimed_at(self, schedule: str, due_at: float) -> float | None:
        with self._lock:
            return self._taken.get((schedule, due_at))
