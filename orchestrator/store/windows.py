"""Maintenance windows in SQL, and in memory.

What lives here: the two implementations of `Windows`. What must not: any judgement of a window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from threading import Lock

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from orchestrator.core.policy import Window
from orchestrator.store.tables import WINDOWS
from orchestrator.store.transaction import transaction


class SqlWindows:
    """`Windows` in a database. `reads` and `writes` are views of one engine (opening.py)."""

    def __init__(self, reads: sa.Engine, writes: sa.Engine) -> None:
        self._reads, self._writes = reads, writes
        insert = postgresql.insert if writes.dialect.name == "postgresql" else sqlite.insert
        self._add = insert(WINDOWS).on_conflict_do_nothing()

    def add(self, window: Window) -> Window:
        with transaction(self._writes) as connection:
            connection.execute(self._add, asdict(window))
            return _window(connection, window.id) or window

    def stop(self, window: str, now: float) -> Window | None:
        running = sa.update(WINDOWS).where(WINDOWS.c.id == window, WINDOWS.c.ends_at > now)
        with transaction(self._writes) as connection:
            connection.execute(running.values(ends_at=now))
            return _window(connection, window)

    def current(self, now: float) -> Sequence[Window]:
        query = sa.select(WINDOWS).where(WINDOWS.c.ends_at > now)
        return self._found(query.order_by(WINDOWS.c.ends_at, WINDOWS.c.id))

    def newest(self, limit: int) -> Sequence[Window]:
        query = sa.select(WINDOWS).order_by(WINDOWS.c.ends_at.desc(), WINDOWS.c.id)
        return self._found(query.limit(limit))

    def _found(self, query: sa.Select[tuple[object, ...]]) -> Sequence[Window]:
        with transaction(self._reads) as connection:
            return [Window(**row) for row in connection.execute(query).mappings()]


def _window(connection: sa.Connection, window: str) -> Window | None:
    row = connection.execute(sa.select(WINDOWS).where(WINDOWS.c.id == window)).mappings().first()
    return None if row is None else Window(**row)


class MemoryWindows:
    """`Windows` in a dictionary."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._windows: dict[str, Window] = {}

    def add(self, window: Window) -> Window:
        with self._lock:
            return self._windows.setdefault(window.id, window)

    def stop(self, window: str, now: float) -> Window | None:
        with self._lock:
            known = self._windows.get(window)
            if known is None or known.ends_at <= now:
                return known
            self._windows[window] = replace(known, ends_at=now)
            return self._windows[window]

    def current(self, now: float) -> Sequence[Window]:
        with self._lock:
            running = [each for each in self._windows.values() if each.ends_at > now]
        return sorted(running, key=lambda each: (each.ends_at, each.id))

    def newest(self, limit: int) -> Sequence[Window]:
        with self._lock:
            known = list(self._windows.values())
        return sorted(known, key=lambda each: (-each.ends_at, each.id))[:limit]
