"""What programs see of incidents: a run with what failed, whom it concerns and what is missing.

What lives here: the shapes and the way to them from the core's values, as in shapes.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import TypedDict

from orchestrator.core.events import Entry
from orchestrator.core.fleet import Objectives
from orchestrator.core.incident import Incident, State
from orchestrator.core.lessons import Finding, FollowUp, still_open
from orchestrator.core.review import Called
from orchestrator.core.told import fallbacks, suppressed
from orchestrator.web.shapes import (
    EntryShape,
    ObjectivesShape,
    RunShape,
    entry_shape,
    maybe,
    objectives_shape,
    rfc3339,
    run_shape,
)


class IncidentSummary(RunShape):
    """An incident in a list: its run, what it is about, what people still have to write.

    `severity`, `cause` and `detected_at` are null where a person ordered the run. `since` is the
    first bad answer, or the order.
    """

    run: str
    service: str
    machine: str
    health: str
    severity: str | None
    cause: str | None
    since: str
    detected_at: str | None
    acknowledged_by: str | None
    recoveries: int
    missing: list[str]


class CallShape(TypedDict):
    """Somebody who is told or called. `ended_at` is when it was sent, given up or stopped."""

    kind: str
    level: int
    role: str
    reach: str
    reason: str
    state: str
    due_at: str
    ended_at: str | None
    error: str


class IncidentShape(IncidentSummary):
    """An incident from detection to lesson. `review` is where its review is, once it is closed."""

    timeline: list[EntryShape]
    consequences: list[str]
    suppressed: list[str]
    fallback: str | None
    fallbacks: list[EntryShape]
    escalation: list[CallShape]
    objectives: ObjectivesShape
    review: str | None


class Incidents(TypedDict):
    incidents: list[IncidentSummary]


def _service(incident: Incident) -> str:
    if incident.failure:
        return incident.failure.services[0]
    last = incident.plan.rungs[-1].branches[-1] if incident.plan.rungs else None
    return last.checks[0] if last else ""


def _health(incident: Incident) -> str:
    """What is known of it now. Of a closed one nothing is: that was when it was closed."""
    if incident.state is State.RESOLVED:
        return "degraded" if incident.notes else "healthy"
    if incident.failure and incident.state is not State.CLOSED:
        return incident.failure.health.value
    return "unknown"


def incident_summary(
    incident: Incident, findings: Sequence[Finding], follow_ups: Sequence[FollowUp]
) -> IncidentSummary:
    """Findings and follow-ups may be those of several incidents."""
    failure = incident.failure
    mine = tuple(each for each in findings if each.incident == incident.id)
    todo = tuple(each for each in follow_ups if each.incident == incident.id)
    closed = incident.state is State.CLOSED
    return {
        **run_shape(incident),
        "id": incident.id,
        "run": incident.run,
        "service": _service(incident),
        "machine": failure.machine if failure else "",
        "health": _health(incident),
        "severity": failure.severity.value if failure else None,
        "cause": failure.cause if failure else None,
        "since": rfc3339(failure.first_bad_at if failure else incident.opened_at),
        "detected_at": maybe(failure.detected_at if failure else None),
        "acknowledged_by": incident.acknowledged_by or None,
        "recoveries": len(incident.begun),
        "missing": list(still_open(mine, todo)) if closed else [],
    }


def call_shape(call: Called) -> CallShape:
    return {
        "kind": str(call.kind),
        "level": call.level,
        "role": call.role,
        "reach": call.reach,
        "reason": call.reason,
        "state": str(call.state),
        "due_at": rfc3339(call.due_at),
        "ended_at": maybe(call.ended_at),
        "error": call.error,
    }


def incident_shape(
    incident: Incident,
    timeline: Sequence[Entry],
    findings: Sequence[Finding],
    follow_ups: Sequence[FollowUp],
    calls: Sequence[Called],
    objectives: Objectives,
) -> IncidentShape:
    failure = incident.failure
    closed = incident.state is State.CLOSED
    return {
        **incident_summary(incident, findings, follow_ups),
        "timeline": [entry_shape(each) for each in timeline],
        "consequences": list(failure.consequences) if failure else [],
        "suppressed": list(suppressed(failure, timeline)),
        "fallback": failure.fallback or None if failure else None,
        "fallbacks": [entry_shape(each) for each in fallbacks(failure, timeline)],
        "escalation": [call_shape(each) for each in calls],
        "objectives": objectives_shape(objectives),
        "review": f"/incidents/{incident.id}/review" if closed else None,
    }
