"""What programs see of runs, incidents, plans and health: plain JSON in the words of FACES.md.

What lives here: the shapes, for the HTTP API and for `--json` alike, and the way from the core's
values to them. What must not: FastAPI (the command line starts faster without it), and text
for people. Times are RFC 3339 in UTC, durations seconds; rung, wave and branch count from 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

# Pydantic describes these in /docs, which before Python 3.12 needs this TypedDict.
from typing_extensions import TypedDict

from orchestrator.core.events import Entry
from orchestrator.core.incident import Incident, State
from orchestrator.core.steps import StepRecord
from tasks.contract import Json


class StepShape(TypedDict):
    """One attempt at one step. `outcome` is null while it is out."""

    id: str
    rung: int
    wave: int
    branch: int
    agent: str
    machine: str
    service: str
    operation: str
    arguments: dict[str, Json]
    outcome: str | None
    reason: str
    attempt: int
    started_at: str | None
    ended_at: str | None


class EntryShape(TypedDict):
    """One line of the timeline."""

    at: str
    kind: str
    text: str
    detail: str


class RunShape(TypedDict):
    """A run."""

    id: str
    incident: str
    scenario: str
    state: str
    reason: str
    opened_at: str
    first_effect_at: str | None
    ended_at: str | None
    rta_s: float | None
    epoch: int
    rung: int
    notes: list[str]
    steps: list[StepShape]


class RunWithTimeline(RunShape):
    """A run with all that happened."""

    timeline: list[EntryShape]


class IncidentSummary(RunShape):
    """An incident in a list: its run, and what it is about."""

    run: str
    service: str
    health: str


class IncidentShape(IncidentSummary):
    """An incident from detection to lesson."""

    timeline: list[EntryShape]
    escalation: list[dict[str, Json]]
    review: str | None


class Runs(TypedDict):
    runs: list[RunShape]


class Incidents(TypedDict):
    incidents: list[IncidentSummary]


def rfc3339(at: float) -> str:
    text = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _maybe(at: float | None) -> str | None:
    return None if at is None else rfc3339(at)


def step_shape(incident: Incident, step: StepRecord) -> StepShape:
    return {
        "id": f"{incident.id}.{step.rung}.{step.number}.{step.attempt}",
        "rung": step.rung,
        "wave": incident.plan.branch(step.rung, step.branch).wave,
        "branch": step.branch,
        "agent": step.agent,
        "machine": step.machine,
        "service": step.service,
        "operation": step.operation,
        "arguments": dict(step.arguments),
        "outcome": step.outcome.value if step.outcome else None,
        "reason": step.reason,
        "attempt": step.attempt,
        "started_at": _maybe(step.started_at),
        "ended_at": _maybe(step.ended_at),
    }


def entry_shape(entry: Entry) -> EntryShape:
    return {
        "at": rfc3339(entry.at),
        "kind": entry.kind,
        "text": entry.text,
        "detail": entry.detail,
    }


def run_shape(incident: Incident) -> RunShape:
    return {
        "id": incident.run,
        "incident": incident.id,
        "scenario": incident.scenario,
        "state": incident.state.value,
        "reason": incident.reason,
        "opened_at": rfc3339(incident.opened_at),
        "first_effect_at": _maybe(incident.first_effect_at),
        "ended_at": _maybe(incident.ended_at),
        "rta_s": None if incident.rta_s is None else round(incident.rta_s, 3),
        "epoch": incident.epoch,
        "rung": incident.rung,
        "notes": list(incident.notes),
        "steps": [step_shape(incident, each) for each in incident.steps],
    }


def run_with_timeline(incident: Incident, timeline: Sequence[Entry]) -> RunWithTimeline:
    return {**run_shape(incident), "timeline": [entry_shape(each) for each in timeline]}


def incident_summary(incident: Incident) -> IncidentSummary:
    ladder = incident.plan.rungs
    first = incident.failure.services[0] if incident.failure else ladder[-1].branches[-1].checks[0]
    # Only a resolved incident was seen healthy from outside; of any other nothing is claimed.
    health = "healthy" if incident.state is State.RESOLVED else "unknown"
    return {
        **run_shape(incident),
        "id": incident.id,
        "run": incident.run,
        "service": first,
        "health": "degraded" if health == "healthy" and incident.notes else health,
    }


def incident_shape(incident: Incident, timeline: Sequence[Entry]) -> IncidentShape:
    return {
        **incident_summary(incident),
        "timeline": [entry_shape(each) for each in timeline],
        "escalation": [],
        "review": None,
    }
