"""The SQL store: every change one transaction, every transaction one fsync.

What lives here: `SqlStore`, the statements of the store's contract. What must not: how a
database is reached, set up or refused (opening.py), and any decision about an incident.

Who writes: `open` takes the epoch's row first, so opens wait for each other and a doubled one
sees the first; `save` is a compare-and-swap on the run's version. Nothing else needs a lock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from orchestrator.core.epochs import next_epoch
from orchestrator.core.events import Entry
from orchestrator.core.incident import ENDED, Decision, Incident, State
from orchestrator.core.steps import StepRecord
from orchestrator.lease import Fence
from orchestrator.ports import PendingEffect, Stored
from orchestrator.store import codec
from orchestrator.store.headways import SqlHeadways
from orchestrator.store.lease import SqlLease
from orchestrator.store.notebook import SqlNotebook
from orchestrator.store.restorepoints import SqlRestorePoints
from orchestrator.store.slots import SqlSlots
from orchestrator.store.sqlcalls import SqlCalls
from orchestrator.store.starts import SqlStarts
from orchestrator.store.steprows import load_steps, save_steps
from orchestrator.store.tables import (
    EFFECTS,
    EPOCH,
    INCIDENTS,
    KEYS,
    REPORTS,
    RUNS,
    TIMELINE,
)
from orchestrator.store.transaction import transaction
from orchestrator.store.windows import SqlWindows
from tasks.contract import WorkReport

Row = Mapping[str, Any]


class SqlStore:
    """A `Store` in a database. `reads` and `writes` are views of one engine (opening.py)."""

    def __init__(self, reads: sa.Engine, writes: sa.Engine, lease: SqlLease) -> None:
        self.lease, self.fence = lease, Fence()
        writes = writes.execution_options(fence=self.fence)
        self._reads, self._writes = reads, writes
        self.windows = SqlWindows(reads, writes)
        self.notebook = SqlNotebook(reads, writes)
        self.calls = SqlCalls(reads, writes)
        insert = postgresql.insert if writes.dialect.name == "postgresql" else sqlite.insert
        self._add_key = insert(KEYS).on_conflict_do_nothing()
        self._add_report = insert(REPORTS).on_conflict_do_nothing()
        self.starts = SqlStarts(reads, writes)
        self.restore_points = SqlRestorePoints(reads, writes)
        self.slots = SqlSlots(reads, writes)
        self.headways = SqlHeadways(reads, writes)

    def open(self, incident: Incident) -> Stored:
        with transaction(self._writes) as connection:
            highest = connection.execute(sa.select(EPOCH.c.value).with_for_update()).scalar_one()
            epoch = next_epoch(highest, incident.opened_at)
            connection.execute(sa.update(EPOCH).values(value=epoch))
            if known := _load(connection, incident.run):
                connection.rollback()
                return known
            _demand_new(connection, incident)
            opened = replace(incident, epoch=epoch)
            connection.execute(
                sa.insert(INCIDENTS),
                {"id": opened.id, "cause": opened.reason, "opened_at": opened.opened_at},
            )
            row = {
                "id": opened.run,
                "incident": opened.id,
                "version": 1,
                "epoch": epoch,
                "scenario": opened.scenario,
                "opened_at": opened.opened_at,
                "plan": codec.encode(codec.PLAN, opened.plan),
                "urgent": opened.plan.urgent,
                **_moving(opened),
            }
            connection.execute(sa.insert(RUNS), row)
            save_steps(connection, opened)
        return Stored(opened, 1)

    def epoch_at_least(self, epoch: int) -> None:
        with transaction(self._writes) as connection:
            connection.execute(sa.update(EPOCH).where(EPOCH.c.value < epoch).values(value=epoch))

    def load(self, run: str) -> Stored | None:
        with transaction(self._reads) as connection:
            return _load(connection, run)

    def run_of_incident(self, incident: str) -> str | None:
        with transaction(self._reads) as connection:
            return _run_of(connection, incident)

    def save(self, decision: Decision, expected: int) -> bool:
        incident = decision.incident
        silent = not (decision.effects or decision.timeline)
        if silent and self.load(incident.run) == Stored(incident, expected):
            return True
        with transaction(self._writes) as connection:
            changed = connection.execute(
                sa.update(RUNS)
                .where(RUNS.c.id == incident.run, RUNS.c.version == expected)
                .values(version=expected + 1, **_moving(incident))
            )
            if changed.rowcount != 1:
                connection.rollback()
                return False
            save_steps(connection, incident)
            _insert(connection, TIMELINE, [_line(incident.run, e) for e in decision.timeline])
            encoded = [codec.encode_effect(effect) for effect in decision.effects]
            rows = [
                {"run": incident.run, "kind": kind, "effect": text, "sent": False}
                for kind, text in encoded
            ]
            _insert(connection, EFFECTS, rows)
        return True

    def runs(self, *, limit: int = 100, urgent: bool = False) -> Sequence[Incident]:
        newest = sa.select(RUNS).order_by(RUNS.c.epoch.desc()).limit(limit)
        return self._incidents(newest.where(RUNS.c.urgent) if urgent else newest)

    def unfinished(self) -> Sequence[str]:
        going = [state.value for state in State if state not in ENDED]
        query = sa.select(RUNS.c.id).where(RUNS.c.state.in_(going)).order_by(RUNS.c.epoch)
        with transaction(self._reads) as connection:
            return connection.execute(query).scalars().all()

    def not_closed(self) -> Sequence[Incident]:
        query = sa.select(RUNS).where(RUNS.c.state != State.CLOSED.value).order_by(RUNS.c.epoch)
        return self._incidents(query)

    def _incidents(self, query: sa.Select[Any]) -> Sequence[Incident]:
        with transaction(self._reads) as connection:
            rows = connection.execute(query).mappings().all()
            return [_incident(row, load_steps(connection, row["id"])) for row in rows]

    def pending_effects(self) -> Sequence[PendingEffect]:
        query = sa.select(EFFECTS).where(EFFECTS.c.sent.is_(False)).order_by(EFFECTS.c.id)
        with transaction(self._reads) as connection:
            return [
                PendingEffect(row.id, row.run, codec.decode_effect(row.kind, row.effect))
                for row in connection.execute(query)
            ]

    def effect_sent(self, effect: int) -> None:
        with transaction(self._writes) as connection:
            connection.execute(sa.update(EFFECTS).where(EFFECTS.c.id == effect).values(sent=True))

    def add_report(self, report: WorkReport) -> None:
        text = codec.encode(codec.REPORT, report)
        row = {
            "digest": hashlib.sha256(text.encode()).hexdigest(),
            "run": report.run,
            "agent": report.agent,
            "outcome": report.outcome,
            "report": text,
        }
        with transaction(self._writes) as connection:
            connection.execute(self._add_report, row)

    def reports(self, run: str) -> Sequence[WorkReport]:
        query = sa.select(REPORTS.c.report).where(REPORTS.c.run == run).order_by(REPORTS.c.id)
        with transaction(self._reads) as connection:
            found = connection.execute(query).scalars().all()
        return [codec.decode(codec.REPORT, text) for text in found]

    def add_entry(self, run: str, entry: Entry) -> None:
        with transaction(self._writes) as connection:
            _insert(connection, TIMELINE, [_line(run, entry)])

    def timeline(self, run: str) -> Sequence[Entry]:
        query = sa.select(TIMELINE).where(TIMELINE.c.run == run).order_by(TIMELINE.c.id)
        with transaction(self._reads) as connection:
            rows = connection.execute(query).all()
        return [Entry(row.at, row.kind, row.text, row.detail) for row in rows]

    def run_for_key(self, key: str, run: str) -> str:
        with transaction(self._writes) as connection:
            connection.execute(self._add_key, {"key": key, "run": run})
            first = sa.select(KEYS.c.run).where(KEYS.c.key == key)
            stored: str = connection.execute(first).scalar_one()
            return stored

    def close(self) -> None:
        self._writes.dispose()
        self.lease.close()


def _demand_new(connection: sa.Connection, incident: Incident) -> None:
    if run := _run_of(connection, incident.id):
        raise ValueError(
            f"incident {incident.id} has run {run} already;"
            " a second would give its orders the same ids"
        )


def _run_of(connection: sa.Connection, incident: str) -> str | None:
    query = sa.select(RUNS.c.id).where(RUNS.c.incident == incident)
    return connection.execute(query).scalar_one_or_none()


def _load(connection: sa.Connection, run: str) -> Stored | None:
    row = connection.execute(sa.select(RUNS).where(RUNS.c.id == run)).mappings().first()
    if row is None:
        return None
    return Stored(_incident(row, load_steps(connection, run)), row["version"])


def _moving(incident: Incident) -> dict[str, Any]:
    """The columns of a run that change on its way."""
    return {
        "state": incident.state.value,
        "reason": incident.reason,
        "rung": incident.rung,
        "first_effect_at": incident.first_effect_at,
        "ended_at": incident.ended_at,
        "branches": codec.encode(codec.BRANCHES, incident.branches),
        "notes": codec.encode(codec.NOTES, incident.notes),
        "failure": incident.failure and codec.encode(codec.FAILURE, incident.failure),
        "dead": codec.encode(codec.NOTES, incident.dead),
        "begun": codec.encode(codec.TIMES, incident.begun),
        "episode": incident.episode,
        "asked_at": incident.asked_at,
        "held": incident.held,
        "cured": incident.cured,
        "informed": incident.informed,
        "acknowledged_by": incident.acknowledged_by,
    }


def _incident(row: Mapping[Any, Any], steps: tuple[StepRecord, ...]) -> Incident:
    return Incident(
        id=row["incident"],
        run=row["id"],
        epoch=row["epoch"],
        scenario=row["scenario"],
        reason=row["reason"],
        plan=codec.decode(codec.PLAN, row["plan"]),
        opened_at=row["opened_at"],
        state=State(row["state"]),
        rung=row["rung"],
        branches=codec.decode(codec.BRANCHES, row["branches"]),
        steps=steps,
        notes=codec.decode(codec.NOTES, row["notes"]),
        first_effect_at=row["first_effect_at"],
        ended_at=row["ended_at"],
        failure=codec.decode(codec.FAILURE, row["failure"]) if row["failure"] else None,
        dead=codec.decode(codec.NOTES, row["dead"]),
        begun=codec.decode(codec.TIMES, row["begun"]),
        episode=row["episode"],
        asked_at=row["asked_at"],
        held=row["held"],
        cured=row["cured"],
        informed=row["informed"],
        acknowledged_by=row["acknowledged_by"],
    )


def _line(run: str, entry: Entry) -> Row:
    return {
        "run": run,
        "at": entry.at,
        "kind": entry.kind,
        "text": entry.text,
        "detail": entry.detail,
    }


def _insert(connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    if rows:
        connection.execute(sa.insert(table), list(rows))
