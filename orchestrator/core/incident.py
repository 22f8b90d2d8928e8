"""One failure from its opening to its end: the state machine that every recovery goes through.

The rules of this file:
- all that changes an incident happens in `advance`; it takes values and returns values;
- legal moves stand in one table, MOVES; an illegal one raises and changes nothing;
- a message that is late, doubled, foreign or forged is a normal case: nothing changes and
  the decision says why;
- silence never means failure: a step that was not reported in time is `unknown`, and the
  branch's fate is then decided by looking at the services from outside;
- a branch passes only on a healthy check that came after its last step, a rung only when
  all its branches passed, and the incident is resolved only by a rung that passed.

Single steps are in steps.py, how branches are published and judged in branch.py, what is
overdue in overdue.py; this file moves the incident.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from orchestrator.core import branch as branches
from orchestrator.core.branch import BranchState
from orchestrator.core.events import (
    Approved,
    Begin,
    CallHuman,
    Cancelled,
    Checked,
    Effect,
    Entry,
    Event,
    Reported,
    Resumed,
    Tick,
)
from orchestrator.core.fleet import Approval
from orchestrator.core.overdue import find_overdue
from orchestrator.core.plan import Plan
from orchestrator.core.steps import StepRecord, record_report
from tasks.contract import Outcome


class State(StrEnum):
    """Where an incident stands."""

    OPEN = "open"
    AWAITING_APPROVAL = "awaiting_approval"  #: the next rung may start only when a person says so
    RECOVERING = "recovering"
    VERIFYING = "verifying"  #: all steps are in; the last checks from outside are not
    RESOLVED = "resolved"
    ESCALATED = "escalated"  #: a person is needed; nothing is done without one
    CLOSED = "closed"


MOVES: dict[State, frozenset[State]] = {
    State.OPEN: frozenset({State.RECOVERING, State.AWAITING_APPROVAL, State.ESCALATED}),
    State.AWAITING_APPROVAL: frozenset({State.RECOVERING, State.ESCALATED}),
    State.RECOVERING: frozenset(
        {State.VERIFYING, State.RESOLVED, State.AWAITING_APPROVAL, State.ESCALATED}
    ),
    State.VERIFYING: frozenset(
        {State.RECOVERING, State.RESOLVED, State.AWAITING_APPROVAL, State.ESCALATED}
    ),
    State.RESOLVED: frozenset({State.CLOSED}),
    State.ESCALATED: frozenset({State.RECOVERING, State.CLOSED}),
    State.CLOSED: frozenset(),
}

WORKING = frozenset({State.RECOVERING, State.VERIFYING})
ENDED = frozenset({State.RESOLVED, State.ESCALATED, State.CLOSED})


class IllegalMove(Exception):
    """This cannot be done in the state that the run is in; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Incident:
    """One failure, and the run that cures it. Times are Unix seconds."""

    id: str
    run: str  #: the Celery root task's id
    epoch: int
    scenario: str
    reason: str  #: why it was opened, or what is happening now
    plan: Plan
    opened_at: float
    state: State = State.OPEN
    rung: int = 0
    wave: int = 0
    branches: tuple[BranchState, ...] = ()  #: of the current wave
    steps: tuple[StepRecord, ...] = ()  #: every attempt so far, in the order of publishing
    notes: tuple[str, ...] = ()  #: what is still wrong though nothing waits for it
    first_effect_at: float | None = None
    ended_at: float | None = None

    @property
    def rta_s(self) -> float | None:
        """Recovery time achieved, in seconds; None until it is resolved."""
        if self.state in (State.RESOLVED, State.CLOSED) and self.ended_at is not None:
            return self.ended_at - self.opened_at
        return None


@dataclass(frozen=True, slots=True)
class Decision:
    """The incident after an event, what to do about it, and why."""

    incident: Incident
    effects: tuple[Effect, ...] = ()
    timeline: tuple[Entry, ...] = ()
    reasons: tuple[str, ...] = ()


def advance(incident: Incident, event: Event, now: float) -> Decision:
    """The one way in which an incident changes. Raises IllegalMove for a person's request
    that does not fit its state; a message that does not fit is ignored with a reason."""
    match event:
        case Begin():
            return _begin(incident, now)
        case Reported(report):
            step, text = record_report(incident.steps, report, incident.run)
            if step is None:
                return Decision(incident, reasons=(text,))
            return _after_step(incident, step, text, report.detail, now)
        case Checked():
            return _after_check(incident, event, now)
        case Tick():
            return _after_tick(incident, event, now)
        case Approved(by):
            _demand(incident, State.AWAITING_APPROVAL, "approved")
            return _started(incident, incident.rung, f"approved by {by}", now)
        case Resumed(by):
            _demand(incident, State.ESCALATED, "resumed")
            rung = min(incident.rung, len(incident.plan.rungs) - 1)
            return _started(replace(incident, ended_at=None), rung, f"resumed by {by}", now)
        case Cancelled(by):
            if incident.state in ENDED:
                raise IllegalMove(f"run {incident.run} is {incident.state} and cannot be cancelled")
            return _escalated(incident, f"cancelled by {by}", now)


def _demand(incident: Incident, state: State, verb: str) -> None:
    if incident.state is not state:
        raise IllegalMove(
            f"run {incident.run} is {incident.state}; only a run that is {state} can be {verb}"
        )


def move(incident: Incident, to: State, reason: str, now: float) -> tuple[Incident, Entry]:
    """The incident in its new state with the line that tells of it."""
    if to not in MOVES[incident.state]:
        raise IllegalMove(f"run {incident.run} cannot go from {incident.state} to {to}")
    ended_at = now if to in (State.RESOLVED, State.ESCALATED) else incident.ended_at
    changed = replace(incident, state=to, reason=reason, ended_at=ended_at)
    return changed, Entry(now, "state", f"{to}: {reason}")


def _begin(incident: Incident, now: float) -> Decision:
    if incident.state is not State.OPEN:
        return Decision(incident, reasons=(f"begun already, it is {incident.state}",))
    return _climb(incident, 0, incident.reason, now)


def _climb(incident: Incident, rung: int, reason: str, now: float) -> Decision:
    """Go to this rung, if there is one and it may start by itself."""
    if rung >= len(incident.plan.rungs):
        return _escalated(incident, f"{reason}; no rung is left", now)
    planned = incident.plan.rungs[rung]
    if planned.approval is Approval.NEVER:
        return _escalated(incident, f"{reason}; rung {planned.title!r} is for people only", now)
    if planned.approval is Approval.ASK:
        text = f"{reason}; rung {planned.title!r} waits for approval"
        asking, line = move(replace(incident, rung=rung), State.AWAITING_APPROVAL, text, now)
        return Decision(asking, (CallHuman(text),), (line,), (text,))
    return _started(incident, rung, reason, now)


def _started(incident: Incident, rung: int, reason: str, now: float) -> Decision:
    """Begin a rung with its first wave."""
    text = f"rung {rung + 1} of {len(incident.plan.rungs)}, {incident.plan.rungs[rung].title!r}"
    timeline = [Entry(now, "state", f"{text}: {reason}")]
    incident = replace(incident, notes=())
    if incident.state is not State.RECOVERING:
        incident, line = move(incident, State.RECOVERING, f"{text}: {reason}", now)
        timeline = [line]
    return _publish_wave(replace(incident, rung=rung), 0, tuple(timeline), now)


def _publish_wave(
    incident: Incident, wave: int, timeline: tuple[Entry, ...], now: float
) -> Decision:
    published = branches.publish_wave(incident, incident.rung, wave, now)
    incident = replace(
        incident,
        wave=wave,
        branches=published.branches,
        steps=published.steps,
    )
    decision = Decision(incident, published.effects, timeline)
    return _verifying(decision, now) if branches.only_checks_left(incident) else decision


def _after_step(
    incident: Incident, step: StepRecord, text: str, detail: str, now: float
) -> Decision:
    """A step's outcome came in, the first for it."""
    steps = tuple(step if each.key == step.key else each for each in incident.steps)
    incident = replace(incident, steps=steps, first_effect_at=_first_effect(incident, step))
    line = Entry(now, "step", text, detail)
    if incident.state not in WORKING or not branches.is_current(incident, step):
        return Decision(incident, timeline=(line,), reasons=(text,))
    settled = branches.settle(incident, step, now)
    incident = replace(incident, branches=settled.branches, steps=settled.steps)
    return _go_on(Decision(incident, settled.effects, (line, *settled.timeline), (text,)), now)


def _first_effect(incident: Incident, step: StepRecord) -> float | None:
    """Reports come in any order, and what was refused was never begun."""
    known = [incident.first_effect_at, None if step.outcome is Outcome.REFUSED else step.started_at]
    return min((each for each in known if each is not None), default=None)


def _after_check(incident: Incident, event: Checked, now: float) -> Decision:
    here = (incident.rung, incident.wave)
    if incident.state not in WORKING or (event.rung, event.wave) != here:
        return Decision(incident, reasons=("a check of something that is over",))
    settled = branches.judge_check(incident, event, now)
    if settled is None:
        return Decision(incident, reasons=("this branch has its verdict already",))
    incident = replace(incident, branches=settled.branches, steps=settled.steps)
    return _go_on(Decision(incident, settled.effects, settled.timeline), now)


def _after_tick(incident: Incident, tick: Tick, now: float) -> Decision:
    if incident.state not in WORKING:
        return Decision(incident)
    overdue = find_overdue(incident, tick, now)
    incident = replace(incident, branches=overdue.branches, steps=overdue.steps)
    return _go_on(Decision(incident, overdue.effects, overdue.timeline), now)


def _go_on(decision: Decision, now: float) -> Decision:
    """After a branch changed: the next wave, the next rung, the end, or wait."""
    incident = decision.incident
    running = [each for each in incident.branches if each.passed is None]
    if running:
        go_on = _verifying if branches.only_checks_left(incident) else _recovering
        return go_on(decision, now)
    planned = incident.plan.rungs[incident.rung]
    pairs = list(zip(incident.branches, planned.waves[incident.wave], strict=True))
    failed = [state.reason for state, branch in pairs if not state.passed and not branch.optional]
    notes = [
        state.note or state.reason for state, branch in pairs if state.note or not state.passed
    ]
    incident = replace(incident, notes=tuple(dict.fromkeys([*incident.notes, *notes])))
    if failed:
        following = _climb(incident, incident.rung + 1, "; ".join(failed), now)
    elif incident.wave + 1 < len(planned.waves):
        following = _publish_wave(incident, incident.wave + 1, (), now)
    else:
        following = _resolved(incident, now)
    return replace(
        following,
        effects=decision.effects + following.effects,
        timeline=decision.timeline + following.timeline,
        reasons=decision.reasons + following.reasons,
    )


def _verifying(decision: Decision, now: float) -> Decision:
    """All steps of the rung's last wave are in: only looking from outside is left."""
    incident = decision.incident
    last = incident.wave + 1 == len(incident.plan.rungs[incident.rung].waves)
    if incident.state is not State.RECOVERING or not last:
        return decision
    verifying, line = move(incident, State.VERIFYING, "all steps are in", now)
    return replace(decision, incident=verifying, timeline=(*decision.timeline, line))


def _recovering(decision: Decision, now: float) -> Decision:
    """Steps are out; if only looking was left, a step was ordered again since."""
    if decision.incident.state is not State.VERIFYING:
        return decision
    recovering, line = move(decision.incident, State.RECOVERING, "a step was ordered again", now)
    return replace(decision, incident=recovering, timeline=(*decision.timeline, line))


def _resolved(incident: Incident, now: float) -> Decision:
    reason = "; ".join(["verified from outside", *incident.notes])
    resolved, line = move(incident, State.RESOLVED, reason, now)
    return Decision(resolved, (), (line,), (resolved.reason,))


def _escalated(incident: Incident, reason: str, now: float) -> Decision:
    escalated, line = move(incident, State.ESCALATED, reason, now)
    return Decision(escalated, (CallHuman(reason),), (line,), (reason,))
