"""The rows of a run's steps: written where they changed, never taken away.

What lives here: reading and writing them within a transaction of the store's (sql.py). What must
not: the run that they belong to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import sqlalchemy as sa

from orchestrator.core.incident import Incident
from orchestrator.core.steps import StepRecord
from orchestrator.store import codec
from orchestrator.store.tables import STEPS
from tasks.contract import Outcome

Row = Mapping[str, Any]


def _stored_steps(connection: sa.Connection, run: str) -> list[Row]:
    query = sa.select(STEPS).where(STEPS.c.run == run).order_by(STEPS.c.position)
    return [dict(row) for row in connection.execute(query).mappings()]


def load_steps(connection: sa.Connection, run: str) -> tuple[StepRecord, ...]:
    return tuple(_step(row) for row in _stored_steps(connection, run))


def _step(row: Row) -> StepRecord:
    told = {
        "arguments": codec.decode(codec.ARGUMENTS, row["arguments"]),
        "outcome": Outcome(row["outcome"]) if row["outcome"] else None,
    }
    return StepRecord(**{each.name: row[each.name] for each in fields(StepRecord)} | told)


def save_steps(connection: sa.Connection, incident: Incident) -> None:
    """Write the rows that are new or changed; steps are never taken away."""
    stored = _stored_steps(connection, incident.run)
    rows = [_step_row(incident.run, at, step) for at, step in enumerate(incident.steps)]
    changed = [new for old, new in zip(stored, rows, strict=False) if old != new]
    for row in changed:
        here = (STEPS.c.run == row["run"], STEPS.c.position == row["position"])
        connection.execute(sa.update(STEPS).where(*here), row)
    if new := rows[len(stored) :]:
        connection.execute(sa.insert(STEPS), new)


def _step_row(run: str, position: int, step: StepRecord) -> Row:
    row = {each.name: getattr(step, each.name) for each in fields(step)}
    told = {
        "arguments": codec.encode(codec.ARGUMENTS, dict(step.arguments)),
        "outcome": step.outcome.value if step.outcome else None,
        "reason": codec.writable(step.reason),
    }
    return {"run": run, "position": position} | row | told
