"""Starts in SQL, and in memory. The port and its contract: orchestrator/starts.py."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from orchestrator.store.tables import STARTS
from orchestrator.store.transaction import transaction


class SqlStarts:
    """`Starts` in a database."""

    def __init__(self, reads: sa.Engine, writes: sa.Engine) -> None:
        self._reads, self._writes = reads, writes
        insert = postgresql.insert if writes.dialect.name == "postgresql" else sqlite.insert
        self._add = insert(STARTS).on_conflict_do_nothing()

    def add(self, service: str, invocation: str, started_at: float, took_s: float) -> None:
        row = {
            "service": service,
            "invocation": invocation,
            "started_at": started_at,
            "took_s": took_s,
        }
        with transaction(self._writes) as connection:
            connection.execute(self._add, row)

    def of(self, service: str, *, limit: int = 50) -> Sequence[float]:
        newest = (
            sa.select(STARTS.c.took_s)
            .where(STARTS.c.service == service)
            .order_by(STARTS.c.started_at.desc())
            .limit(limit)
        )
        with transaction(self._reads) as connection:
            return connection.execute(newest).scalars().all()[::-1]


class MemoryStarts:
    """The twin."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._rows: dict[str, tuple[str, float, float]] = {}

    def add(self, service: str, invocation: str, started_at: float, took_s: float) -> None:
        with self._lock:
            self._rows.setdefault(invocation, (service, started_at, took_s))

    def of(self, service: str, *, limit: int = 50) -> Sequence[float]:
        with self._lock:
            mine = sorted((at, took) for name, at, took in self._rows.values() if name == service)
        return [took for _, took in mine][-limit:]
