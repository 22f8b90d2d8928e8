"""Restore points in SQL, and in memory. The port: orchestrator/restorepoints.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from threading import Lock
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from orchestrator.core.restorepoints import PointState, RestorePoint, merged
from orchestrator.store.tables import RESTORE_POINTS
from orchestrator.store.transaction import transaction

_T = RESTORE_POINTS.c


class SqlRestorePoints:
    """`RestorePoints` in a database."""

    def __init__(self, reads: sa.Engine, writes: sa.Engine) -> None:
        self._reads, self._writes = reads, writes
        postgres = writes.dialect.name == "postgresql"
        add: Any = (postgresql.insert if postgres else sqlite.insert)(RESTORE_POINTS)
        kept = {"id", "job"}
        told = {each.name: add.excluded[each.name] for each in _T if each.name not in kept}
        told["offsite"] = sa.func.coalesce(sa.func.nullif(add.excluded.offsite, ""), _T.offsite)
        self._record = add.on_conflict_do_update(
            index_elements=["id"],
            set_=told,
            where=_T.reported_at <= add.excluded.reported_at,
        )

    def record(self, point: RestorePoint) -> None:
        with transaction(self._writes) as connection:
            connection.execute(self._record, {**asdict(point), "state": point.state.value})

    def forget(self, points: Sequence[str]) -> None:
        if points:
            with transaction(self._writes) as connection:
                connection.execute(sa.delete(RESTORE_POINTS).where(_T.id.in_(points)))

    def get(self, point: str) -> RestorePoint | None:
        return next(iter(self._found(sa.select(RESTORE_POINTS).where(_T.id == point))), None)

    def newest(self, *, limit: int, job: str = "") -> Sequence[RestorePoint]:
        query = sa.select(RESTORE_POINTS).order_by(_T.taken_at.desc(), _T.id)
        return self._found((query.where(_T.job == job) if job else query).limit(limit))

    def newest_verified(self, service: str, *, job: str = "") -> RestorePoint | None:
        query = sa.select(RESTORE_POINTS).where(
            _T.service == service, _T.state == PointState.VERIFIED.value
        )
        query = query.order_by(_T.covers_until.desc(), _T.id).limit(1)
        return next(iter(self._found(query.where(_T.job == job) if job else query)), None)

    def _found(self, query: sa.Select[Any]) -> Sequence[RestorePoint]:
        with transaction(self._reads) as connection:
            return [_point(row) for row in connection.execute(query).mappings()]


def _point(row: Mapping[Any, Any]) -> RestorePoint:
    return RestorePoint(**{**row, "state": PointState(row["state"])})


class MemoryRestorePoints:
    """The twin."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._points: dict[str, RestorePoint] = {}

    def record(self, point: RestorePoint) -> None:
        with self._lock:
            self._points[point.id] = merged(self._points.get(point.id), point)

    def forget(self, points: Sequence[str]) -> None:
        with self._lock:
            for each in points:
                self._points.pop(each, None)

    def get(self, point: str) -> RestorePoint | None:
        with self._lock:
            return self._points.get(point)

    def newest(self, *, limit: int, job: str = "") -> Sequence[RestorePoint]:
        with self._lock:
            known = [each for each in self._points.values() if job in ("", each.job)]
        return sorted(known, key=lambda each: (-each.taken_at, each.id))[:limit]

    def newest_verified(self, service: str, *, job: str = "") -> RestorePoint | None:
        with self._lock:
            good = [
                each
                for each in self._points.values()
                if each.service == service
                and each.state is PointState.VERIFIED
                and job in ("", each.job)
            ]
        return min(good, key=lambda each: (-each.covers_until, each.id), default=None)
