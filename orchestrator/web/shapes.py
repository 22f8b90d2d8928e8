"""What programs see of runs: plain JSON in the words of FACES.md.

What lives here: the shapes, for the HTTP API and for `--json` alike, and the way from the core's
values to them. What must not: FastAPI (the command line starts faster without it), and text
for people. Times are RFC 3339 in UTC, durations seconds; rung, wave and branch count from 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

# Pydantic describes these in /docs, which before Python 3.12 needs this TypedDict.
from typing_extensions import TypedDict

from orchestrator.core.events import Entry
from orchestrator.core.fleet import Objectives
from orchestrator.core.incident import Incident
from orchestrator.core.steps import StepRecord, order_id
from tasks.contract import Headway, Json

Headways = Mapping[str, Headway]  #: by the step's id
NONE: Headways = {}


class ProgressShape(TypedDict):
    """How far a step is, as its agent said last; null where that cannot be said."""

    at: str
    what: str
    done_bytes: int
    total_bytes: int | None
    bytes_per_s: float | None
    left_s: float | None


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
    progress: ProgressShape | None


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


class ObjectivesShape(TypedDict):
    """Seconds."""

    rto_target_s: float
    rto_maximum_s: float
    rpo_target_s: float
    rpo_maximum_s: float


class RunWithTimeline(RunShape):
    """A run with all that happened, and the objectives that it is measured by."""

    timeline: list[EntryShape]
    objectives: ObjectivesShape


class Runs(TypedDict):
    runs: list[RunShape]


def rfc3339(at: float) -> str:
    text = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def maybe(at: float | None) -> str | None:
    return None if at is None else rfc3339(at)


def rounded(seconds: float | None) -> float | None:
    """To the millisecond: no clock here is better."""
    return None if seconds is None else round(seconds, 3)


def progress_shape(headway: Headway) -> ProgressShape:
    return {
        "at": rfc3339(headway.at),
        "what": headway.what,
        "done_bytes": headway.done_bytes,
        "total_bytes": headway.total_bytes or None,
        "bytes_per_s": rounded(_known(headway.per_second)),
        "left_s": rounded(_known(headway.left_s)),
    }


def _known(figure: float) -> float | None:
    return None if figure < 0 else figure


def step_shape(incident: Incident, step: StepRecord, headways: Headways = NONE) -> StepShape:
    step_id = order_id(incident, step)
    return {
        "id": step_id,
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
        "started_at": maybe(step.started_at),
        "ended_at": maybe(step.ended_at),
        "progress": progress_shape(headways[step_id]) if step_id in headways else None,
    }


def entry_shape(entry: Entry) -> EntryShape:
    return {
        "at": rfc3339(entry.at),
        "kind": entry.kind,
        "text": entry.text,
        "detail": entry.detail,
    }


def run_shape(incident: Incident, headways: Headways = NONE) -> RunShape:
    return {
        "id": incident.run,
        "incident": incident.id,
        "scenario": incident.scenario,
        "state": incident.state.value,
        "reason": incident.reason,
        "opened_at": rfc3339(incident.opened_at),
        "first_effect_at": maybe(incident.first_effect_at),
        "ended_at": maybe(incident.ended_at),
        "rta_s": rounded(incident.rta_s),
        "epoch": incident.epoch,
        "rung": incident.rung,
        "notes": list(incident.notes),
        "steps": [step_shape(incident, each, headways) for each in incident.steps],
    }


def objectives_shape(objectives: Objectives) -> ObjectivesShape:
    return {
        "rto_target_s": objectives.rto_target_s,
        "rto_maximum_s": objectives.rto_maximum_s,
        "rpo_target_s": objectives.rpo_target_s,
        "rpo_maximum_s": objectives.rpo_maximum_s,
    }


def run_with_timeline(
    incident: Incident,
    timeline: Sequence[Entry],
    objectives: Objectives,
    headways: Headways = NONE,
) -> RunWithTimeline:
    return {
        **run_shape(incident, headways),
        "timeline": [entry_shape(each) for each in timeline],
        "objectives": objectives_shape(objectives),
    }
