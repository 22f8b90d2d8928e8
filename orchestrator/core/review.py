"""The post-incident review: what happened, why, how long each part took, what is to be learned.

What lives here: the values and `review`, a pure function of what is stored, so that a review
exists whenever an incident does and is never out of date. What must not: text layout
(orchestrator/reviewpage.py) and JSON (orchestrator/web/reviewshape.py).

Nothing is claimed that was not observed: a time that is not known is None, and data loss is
"not measured" unless a restore told of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from orchestrator.core.events import Entry
from orchestrator.core.failure import Failure
from orchestrator.core.fleet import Objectives
from orchestrator.core.incident import Incident, State
from orchestrator.core.lessons import About, Finding, FollowUp, still_open
from orchestrator.core.measuring import Measured, Times, measure
from orchestrator.core.steps import StepRecord
from orchestrator.core.told import (
    Move,
    approvals,
    fallbacks,
    moves,
    only_said,
    resolution,
    suppressed,
)
from tasks.contract import Outcome, WorkReport


@dataclass(frozen=True, slots=True)
class Action:
    """One attempt at one step, with the remedy that it belonged to."""

    title: str
    step: StepRecord

    @property
    def took_s(self) -> float | None:
        started, ended = self.step.started_at, self.step.ended_at
        return None if started is None or ended is None else max(0.0, ended - started)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one step found that tells of the cause: a diagnosis, or a step that failed."""

    operation: str
    machine: str
    service: str
    outcome: Outcome
    reason: str
    detail: str


class Called(Protocol):
    """Somebody who is told or called. `ended_at` is when it was sent, given up or stopped."""

    @property
    def kind(self) -> str: ...

    @property
    def level(self) -> int: ...

    @property
    def role(self) -> str: ...

    @property
    def reach(self) -> str:
        """Where it goes, as it may be shown."""
        ...

    @property
    def reason(self) -> str: ...

    @property
    def due_at(self) -> float: ...

    @property
    def state(self) -> str: ...

    @property
    def ended_at(self) -> float | None: ...

    @property
    def error(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Records:
    """What is stored of one incident."""

    incident: Incident
    timeline: Sequence[Entry]
    reports: Sequence[WorkReport] = ()
    calls: Sequence[Called] = ()
    findings: Sequence[Finding] = ()
    follow_ups: Sequence[FollowUp] = ()


@dataclass(frozen=True, slots=True)
class Review:
    """The document. It is preliminary until the incident is closed."""

    incident: Incident
    failure: Failure | None
    summary: tuple[str, ...]
    resolution: Move | None  #: None where it was not recovered
    times: Times
    rto: Measured
    rpo: Measured
    root_cause: Finding | None
    evidence: tuple[Evidence, ...]
    actions: tuple[Action, ...]
    suppressed: tuple[str, ...]
    fallbacks: tuple[Entry, ...]
    approvals: tuple[Entry, ...]
    calls: tuple[Called, ...]
    timeline: tuple[Entry, ...]
    findings: tuple[Finding, ...]
    follow_ups: tuple[FollowUp, ...]

    @property
    def final(self) -> bool:
        return self.incident.state is State.CLOSED

    @property
    def recovered(self) -> bool:
        return self.resolution is not None

    @property
    def recoveries(self) -> int:
        return len(self.incident.begun)

    @property
    def lessons(self) -> tuple[Finding, ...]:
        return tuple(each for each in self.findings if each.about is About.LESSON)

    @property
    def missing(self) -> tuple[str, ...]:
        """What a person still has to write or do."""
        return still_open(self.findings, self.follow_ups)


def review(records: Records, diagnoses: Collection[str], objectives: Objectives) -> Review:
    """The review of an incident. `diagnoses` are the operations that only tell of a state."""
    incident, timeline = records.incident, tuple(records.timeline)
    times, well = measure(incident, timeline), resolution(incident.state, timeline)
    causes = [each for each in records.findings if each.about is About.ROOT_CAUSE]
    return Review(
        incident,
        incident.failure,
        tuple(_summary(incident, timeline, well)),
        well,
        times,
        _recovery_time(times, well, objectives),
        _data_loss(incident, objectives),
        causes[-1] if causes else None,
        tuple(_evidence(incident, records.reports, diagnoses)),
        tuple(Action(incident.plan.rungs[each.rung].title, each) for each in incident.steps),
        suppressed(incident.failure, timeline),
        fallbacks(incident.failure, timeline),
        approvals(timeline),
        tuple(records.calls),
        timeline,
        tuple(records.findings),
        tuple(records.follow_ups),
    )


def _summary(incident: Incident, timeline: Sequence[Entry], well: Move | None) -> Iterator[str]:
    failure, begun = incident.failure, len(incident.begun)
    if failure is None:
        first = next((each.text for each in timeline if each.kind == "state"), incident.reason)
        yield f"A person ordered scenario {incident.scenario}: {first}"
    else:
        where = f" on {failure.machine}" if failure.machine else ""
        yield f"{failure.services[0]}{where} was {failure.health}: {failure.reason}"
    if incident.steps:
        rung = incident.plan.rungs[incident.rung]
        yield f"Tried up to rung {incident.rung + 1} of {len(incident.plan.rungs)}, {rung.title!r}"
    else:
        yield "No step was ordered on any machine"
    if well:
        yield f"Resolved: {well.reason}"
    elif incident.state in (State.RESOLVED, State.CLOSED):
        told = [each for each in moves(timeline) if each.to is not State.CLOSED]
        yield f"Not seen recovered: {told[-1].reason if told else incident.reason}"
    else:
        yield f"It is {incident.state.replace('_', ' ')}: {incident.reason}"
    if begun > 1:
        yield f"It failed again after it was recovered: {begun} recoveries in all"


def _recovery_time(times: Times, well: Move | None, goal: Objectives) -> Measured:
    text = "" if well else "it was not seen recovered"
    if only_said(well):
        text = "by what a person said"
    return Measured(times.total_s, goal.rto_target_s, goal.rto_maximum_s, text)


def _data_loss(incident: Incident, goal: Objectives) -> Measured:
    """A restore would have put data back to an earlier moment; nothing else here does."""
    restored = [
        each
        for each in incident.steps
        if each.operation.endswith(".restore") and each.outcome is Outcome.DONE
    ]
    if restored:
        said = "; ".join(each.reason for each in restored)
        text = f"the restore said: {said}"
    else:
        text = "nothing was restored, and what the failure itself lost was not seen"
    return Measured(None, goal.rpo_target_s, goal.rpo_maximum_s, text)


def _evidence(
    incident: Incident, reports: Sequence[WorkReport], diagnoses: Collection[str]
) -> Iterator[Evidence]:
    details = {(each.order, each.outcome): each.detail for each in reports}
    for step in incident.steps:
        if step.outcome is None or step.started_at is None:
            continue
        if step.operation not in diagnoses and step.outcome.succeeded:
            continue
        order = f"{incident.id}.{step.rung}.{step.number}.{step.attempt}"
        detail = details.get((order, step.outcome.value), "")
        yield Evidence(
            step.operation, step.machine, step.service, step.outcome, step.reason, detail
        )
