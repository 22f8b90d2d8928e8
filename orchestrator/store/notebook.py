"""People's findings and follow-ups in SQL, and in memory.

What lives here: the two implementations of `Notebook`. What must not: what is missing in a
review; that is in core/lessons.py.

The incident's row is locked while something is written about it, so that the same thing sent
twice at the same time is found the second time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from threading import Lock
from typing import Any

import sqlalchemy as sa

from orchestrator.core.lessons import About, Finding, FollowUp
from orchestrator.notebook import UnknownIncident
from orchestrator.store.tables import FINDINGS, FOLLOW_UPS, INCIDENTS
from orchestrator.store.transaction import transaction


class SqlNotebook:
    """`Notebook` in a database. `reads` and `writes` are views of one engine (opening.py)."""

    def __init__(self, reads: sa.Engine, writes: sa.Engine) -> None:
        self._reads, self._writes = reads, writes

    def add_finding(self, incident: str, about: About, text: str, *, by: str, at: float) -> Finding:
        row = {"incident": incident, "kind": about.value, "text": text, "by": by}
        return _finding(self._add(FINDINGS, row, {"at": at}))

    def findings(self, incidents: Sequence[str]) -> Sequence[Finding]:
        query = sa.select(FINDINGS).where(FINDINGS.c.incident.in_(incidents))
        return [_finding(row) for row in self._rows(query.order_by(FINDINGS.c.id))]

    def add_follow_up(
        self, incident: str, text: str, *, owner: str, by: str, at: float
    ) -> FollowUp:
        row = {"incident": incident, "text": text, "owner": owner, "done_at": None}
        return _follow_up(self._add(FOLLOW_UPS, row, {"by": by, "at": at, "done_by": ""}))

    def finish(self, number: int, *, by: str, at: float) -> FollowUp | None:
        here = FOLLOW_UPS.c.id == number
        undone = sa.update(FOLLOW_UPS).where(here, FOLLOW_UPS.c.done_at.is_(None))
        with transaction(self._writes) as connection:
            connection.execute(undone.values(done_at=at, done_by=by))
            row = connection.execute(sa.select(FOLLOW_UPS).where(here)).mappings().first()
        return None if row is None else _follow_up(row)

    def follow_ups(self, incidents: Sequence[str]) -> Sequence[FollowUp]:
        query = sa.select(FOLLOW_UPS).where(FOLLOW_UPS.c.incident.in_(incidents))
        return [_follow_up(row) for row in self._rows(query.order_by(FOLLOW_UPS.c.id))]

    def open_follow_ups(self) -> Sequence[FollowUp]:
        query = sa.select(FOLLOW_UPS).where(FOLLOW_UPS.c.done_at.is_(None))
        return [_follow_up(row) for row in self._rows(query.order_by(FOLLOW_UPS.c.id))]

    def _add(
        self, table: sa.Table, same: Mapping[str, Any], more: Mapping[str, Any]
    ) -> sa.RowMapping:
        """The row that has all of `same`, or a new one."""
        incident = same["incident"]
        known = sa.select(INCIDENTS.c.id).where(INCIDENTS.c.id == incident).with_for_update()
        there = sa.select(table).where(*(table.c[name] == value for name, value in same.items()))
        with transaction(self._writes) as connection:
            if connection.execute(known).scalar() is None:
                raise UnknownIncident(incident)
            if (row := connection.execute(there).mappings().first()) is not None:
                return row
            new = sa.insert(table).values(**same, **more).returning(table)
            return connection.execute(new).mappings().one()

    def _rows(self, query: sa.Select[Any]) -> Sequence[sa.RowMapping]:
        with transaction(self._reads) as connection:
            return connection.execute(query).mappings().all()


def _finding(row: sa.RowMapping) -> Finding:
    return Finding(
        row["id"], row["incident"], About(row["kind"]), row["text"], row["by"], row["at"]
    )


def _follow_up(row: sa.RowMapping) -> FollowUp:
    return FollowUp(
        row["id"],
        row["incident"],
        row["text"],
        row["owner"],
        row["by"],
        row["at"],
        row["done_at"],
        row["done_by"],
    )


class MemoryNotebook:
    """`Notebook` in two lists. `knows` says whether there is such an incident."""

    def __init__(self, knows: Callable[[str], object]) -> None:
        self._knows, self._lock = knows, Lock()
        self._findings: list[Finding] = []
        self._follow_ups: list[FollowUp] = []

    def add_finding(self, incident: str, about: About, text: str, *, by: str, at: float) -> Finding:
        self._demand(incident)
        with self._lock:
            for each in self._findings:
                if (each.incident, each.about, each.text, each.by) == (incident, about, text, by):
                    return each
            new = Finding(len(self._findings) + 1, incident, about, text, by, at)
            self._findings.append(new)
            return new

    def findings(self, incidents: Sequence[str]) -> Sequence[Finding]:
        with self._lock:
            return [each for each in self._findings if each.incident in incidents]

    def add_follow_up(
        self, incident: str, text: str, *, owner: str, by: str, at: float
    ) -> FollowUp:
        self._demand(incident)
        with self._lock:
            for each in self._follow_ups:
                if each.open and (each.incident, each.text, each.owner) == (incident, text, owner):
                    return each
            new = FollowUp(len(self._follow_ups) + 1, incident, text, owner, by, at)
            self._follow_ups.append(new)
            return new

    def finish(self, number: int, *, by: str, at: float) -> FollowUp | None:
        with self._lock:
            if not 1 <= number <= len(self._follow_ups):
                return None
            known = self._follow_ups[number - 1]
            if known.open:
                known = self._follow_ups[number - 1] = replace(known, done_at=at, done_by=by)
            return known

    def follow_ups(self, incidents: Sequence[str]) -> Sequence[FollowUp]:
        with self._lock:
            return [each for each in self._follow_ups if each.incident in incidents]

    def open_follow_ups(self) -> Sequence[FollowUp]:
        with self._lock:
            return [each for each in self._follow_ups if each.open]

    def _demand(self, incident: str) -> None:
        if not self._knows(incident):
            raise UnknownIncident(incident)
