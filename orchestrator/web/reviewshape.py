"""What programs see of a review, complete: everything that its page says and its evidence whole.

What lives here: the shapes and the way to them from the core's values, as in shapes.py.
"""

from __future__ import annotations

from typing_extensions import TypedDict

from orchestrator.core.lessons import Finding, FollowUp
from orchestrator.core.measuring import Measured, Times
from orchestrator.core.review import Action, Evidence, Review
from orchestrator.web.incidentshape import CallShape, call_shape
from orchestrator.web.shapes import (
    EntryShape,
    StepShape,
    entry_shape,
    maybe,
    rfc3339,
    rounded,
    step_shape,
)


class FindingShape(TypedDict):
    """What a person wrote: `about` is root_cause or lesson."""

    number: int
    incident: str
    about: str
    text: str
    by: str
    at: str


class FollowUpShape(TypedDict):
    """Something to be done after an incident. `done_at` is null until it is."""

    number: int
    incident: str
    text: str
    owner: str
    by: str
    at: str
    done_at: str | None
    done_by: str | None


class FollowUps(TypedDict):
    follow_ups: list[FollowUpShape]


class TimesShape(TypedDict):
    """The moments of an incident, and how long each part took. Null is not known."""

    opened_at: str
    failed_at: str | None
    detected_at: str | None
    decided_at: str | None
    first_effect_at: str | None
    executed_at: str | None
    resolved_at: str | None
    detection_s: float | None
    decision_s: float | None
    dispatch_s: float | None
    execution_s: float | None
    verification_s: float | None
    rta_s: float | None


class MeasuredShape(TypedDict):
    """What was achieved against an objective; `achieved_s` is null where nobody measured it.

    `reason` is why it was not measured, or on whose word it rests.
    """

    achieved_s: float | None
    target_s: float
    maximum_s: float
    verdict: str
    reason: str


class EvidenceShape(TypedDict):
    """What a diagnosis, or a step that failed, found."""

    operation: str
    machine: str
    service: str
    outcome: str
    reason: str
    detail: str


class ActionShape(StepShape):
    """A step, with the title of its rung and how long it took."""

    title: str
    took_s: float | None


class ReviewShape(TypedDict):
    """A post-incident review. It is preliminary until `final`; `missing` is left to people."""

    incident: str
    run: str
    scenario: str
    state: str
    final: bool
    missing: list[str]
    summary: list[str]
    services: list[str]
    machine: str
    severity: str | None
    cause: str | None
    recovered: bool
    resolution: str | None
    recoveries: int
    notes: list[str]
    times: TimesShape
    rto: MeasuredShape
    rpo: MeasuredShape
    root_cause: FindingShape | None
    evidence: list[EvidenceShape]
    actions: list[ActionShape]
    consequences: list[str]
    suppressed: list[str]
    fallbacks: list[EntryShape]
    calls: list[CallShape]
    approvals: list[EntryShape]
    acknowledged_by: str | None
    lessons: list[FindingShape]
    findings: list[FindingShape]
    follow_ups: list[FollowUpShape]
    timeline: list[EntryShape]


def finding_shape(finding: Finding) -> FindingShape:
    return {
        "number": finding.number,
        "incident": finding.incident,
        "about": finding.about.value,
        "text": finding.text,
        "by": finding.by,
        "at": rfc3339(finding.at),
    }


def follow_up_shape(follow_up: FollowUp) -> FollowUpShape:
    return {
        "number": follow_up.number,
        "incident": follow_up.incident,
        "text": follow_up.text,
        "owner": follow_up.owner,
        "by": follow_up.by,
        "at": rfc3339(follow_up.at),
        "done_at": maybe(follow_up.done_at),
        "done_by": follow_up.done_by or None,
    }


def _times(times: Times) -> TimesShape:
    return {
        "opened_at": rfc3339(times.opened_at),
        "failed_at": maybe(times.failed_at),
        "detected_at": maybe(times.detected_at),
        "decided_at": maybe(times.decided_at),
        "first_effect_at": maybe(times.effect_at),
        "executed_at": maybe(times.executed_at),
        "resolved_at": maybe(times.resolved_at),
        "detection_s": rounded(times.detection_s),
        "decision_s": rounded(times.decision_s),
        "dispatch_s": rounded(times.dispatch_s),
        "execution_s": rounded(times.execution_s),
        "verification_s": rounded(times.verification_s),
        "rta_s": rounded(times.total_s),
    }


def _measured(found: Measured) -> MeasuredShape:
    return {
        "achieved_s": rounded(found.achieved_s),
        "target_s": found.target_s,
        "maximum_s": found.maximum_s,
        "verdict": found.verdict.value,
        "reason": found.text,
    }


def _evidence(found: Evidence) -> EvidenceShape:
    return {
        "operation": found.operation,
        "machine": found.machine,
        "service": found.service,
        "outcome": found.outcome.value,
        "reason": found.reason,
        "detail": found.detail,
    }


def _action(review: Review, action: Action) -> ActionShape:
    return {
        **step_shape(review.incident, action.step),
        "title": action.title,
        "took_s": rounded(action.took_s),
    }


def review_shape(review: Review) -> ReviewShape:
    incident, failure = review.incident, review.failure
    return {
        "incident": incident.id,
        "run": incident.run,
        "scenario": incident.scenario,
        "state": incident.state.value,
        "final": review.final,
        "missing": list(review.missing),
        "summary": list(review.summary),
        "services": list(failure.services) if failure else [],
        "machine": failure.machine if failure else "",
        "severity": failure.severity.value if failure else None,
        "cause": failure.cause if failure else None,
        "recovered": review.recovered,
        "resolution": review.resolution.reason if review.resolution else None,
        "recoveries": review.recoveries,
        "notes": list(incident.notes),
        "times": _times(review.times),
        "rto": _measured(review.rto),
        "rpo": _measured(review.rpo),
        "root_cause": finding_shape(review.root_cause) if review.root_cause else None,
        "evidence": [_evidence(each) for each in review.evidence],
        "actions": [_action(review, each) for each in review.actions],
        "consequences": list(failure.consequences) if failure else [],
        "suppressed": list(review.suppressed),
        "fallbacks": [entry_shape(each) for each in review.fallbacks],
        "calls": [call_shape(each) for each in review.calls],
        "approvals": [entry_shape(each) for each in review.approvals],
        "acknowledged_by": incident.acknowledged_by or None,
        "lessons": [finding_shape(each) for each in review.lessons],
        "findings": [finding_shape(each) for each in review.findings],
        "follow_ups": [follow_up_shape(each) for each in review.follow_ups],
        "timeline": [entry_shape(each) for each in review.timeline],
    }
