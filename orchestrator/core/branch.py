"""One branch of a wave: publishing its orders, settling their outcomes, judging its check.

What lives here: a branch's state and the pure functions that change it. What must not: single
steps (steps.py), what is overdue (overdue.py), and moving the incident (incident.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchestrator.core.events import Checked, Effect, Entry, Publish
from orchestrator.core.steps import (
    PICKUP_SECONDS,
    REPORT_SECONDS,
    StepRecord,
    as_unknown,
    current_steps,
    new_records,
    next_attempt,
    orders_for,
)
from tasks.contract import Outcome

if TYPE_CHECKING:
    from orchestrator.core.incident import Incident

MAX_ATTEMPTS = 3  #: to get a branch's orders through, when what became of one is unknown


@dataclass(frozen=True, slots=True)
class BranchState:
    """How far a branch of the current wave is. `passed` is None while it runs."""

    passed: bool | None = None
    reason: str = ""
    note: str = ""  #: what is wrong although the branch passed
    orders_sent: int = 0  #: how often, since its wave began
    check_due: float | None = None  #: when the awaited check counts as lost
    checks_sent: int = 0  #: how often it was asked for by itself, since the orders
    checked_early: bool = False  #: a check came before the last report; another is needed


@dataclass(frozen=True, slots=True)
class Change:
    """What became of the branches: their states, the whole history of steps, what to do."""

    branches: tuple[BranchState, ...]
    steps: tuple[StepRecord, ...]
    effects: tuple[Effect, ...] = ()
    timeline: tuple[Entry, ...] = ()


def publish_wave(incident: Incident, rung: int, wave: int, now: float) -> Change:
    """Orders for every branch of a wave. A rung that runs again gets higher attempts."""
    states, steps, effects = [], [], []
    for index, branch in enumerate(incident.plan.rungs[rung].waves[wave]):
        attempt = next_attempt(incident, rung, branch.steps)
        records = new_records(rung, wave, index, branch.steps, attempt, now)
        if records:
            states.append(BranchState(orders_sent=1))
        else:
            states.append(BranchState(check_due=_due(branch.check_seconds, now), checks_sent=1))
        steps.extend(records)
        effects.append(_publish(incident, rung, wave, index, records))
    return Change(tuple(states), (*incident.steps, *steps), tuple(effects))


def is_current(incident: Incident, step: StepRecord) -> bool:
    """Whether the branch still waits for this very attempt."""
    if (step.rung, step.wave) != (incident.rung, incident.wave):
        return False
    running = incident.branches[step.branch].passed is None
    return running and step in current_steps(incident, step.branch)


def settle(incident: Incident, step: StepRecord, now: float) -> Change:
    """After a step's outcome: try again, fail the branch, or wait for its check."""
    state = incident.branches[step.branch]
    out = [each for each in current_steps(incident, step.branch) if each.outcome is None]
    if step.outcome is Outcome.UNKNOWN or step.late:
        if state.orders_sent < MAX_ATTEMPTS:
            return _again(incident, step, now)
        # Its chain ended there: nothing more will be reported, only looking is left.
        steps = as_unknown(incident.steps, out, "not reached")
        return replace(ask_check(incident, step.branch, now), steps=steps)
    if step.outcome is not None and not step.outcome.succeeded:
        reason = f"{step.operation} on {step.machine} {step.outcome}: {step.reason}"
        failed = replace(state, passed=False, reason=reason)
        return Change(with_branch(incident, step.branch, failed), incident.steps)
    if out:
        return Change(incident.branches, incident.steps)
    if state.checked_early:
        return ask_check(incident, step.branch, now)
    planned = incident.plan.branch(incident.rung, incident.wave, step.branch)
    due = _due(planned.check_seconds, now)
    waiting = replace(state, check_due=due)
    return Change(with_branch(incident, step.branch, waiting), incident.steps)


def judge_check(incident: Incident, checked: Checked, now: float) -> Change | None:
    """A branch's verdict from outside; None when there is none to give, or it has one already."""
    if not 0 <= checked.branch < len(incident.branches):
        return None
    state = incident.branches[checked.branch]
    if state.passed is not None:
        return None
    steps = current_steps(incident, checked.branch)
    if any(each.outcome is None for each in steps):
        early = replace(state, checked_early=True)
        return Change(with_branch(incident, checked.branch, early), incident.steps)
    planned = incident.plan.branch(incident.rung, incident.wave, checked.branch)
    healthy = {each.service for each in checked.results if each.healthy}
    ill = [f"{each.service}: {each.reason}" for each in checked.results if not each.healthy]
    passed = set(planned.required) <= healthy
    text = f"{planned.name} seen from outside: {'; '.join(ill) or 'healthy'}"
    line = Entry(now, "check", text)
    open_end = next((each for each in steps if not (each.outcome and each.outcome.succeeded)), None)
    # An agent that was silent to the deadline would be so again: the next rung is for that.
    told = open_end is not None and open_end.ended_at is not None
    if not passed and open_end is not None and told and state.orders_sent < MAX_ATTEMPTS:
        again = _again(incident, open_end, now)
        return replace(again, timeline=(line, *again.timeline))
    note = text if passed and ill else ""
    verdict = replace(state, passed=passed, reason=text, note=note)
    branches = with_branch(incident, checked.branch, verdict)
    return Change(branches, incident.steps, timeline=(line,))


def only_checks_left(incident: Incident) -> bool:
    """Whether every branch that still runs has all its steps reported."""
    return all(
        each.outcome is not None
        for index, state in enumerate(incident.branches)
        if state.passed is None
        for each in current_steps(incident, index)
    )


def ask_check(
    incident: Incident, branch: int, now: float, *, seconds: float | None = None
) -> Change:
    """Ask for a look from outside, now; `seconds` as planned unless told otherwise."""
    state = incident.branches[branch]
    publish = _publish(incident, incident.rung, incident.wave, branch, [])
    if seconds is not None:
        publish = replace(publish, check_seconds=seconds)
    asked = replace(
        state,
        check_due=_due(publish.check_seconds, now),
        checks_sent=state.checks_sent + 1,
        checked_early=False,
    )
    return Change(with_branch(incident, branch, asked), incident.steps, (publish,))


def with_branch(incident: Incident, branch: int, state: BranchState) -> tuple[BranchState, ...]:
    states = list(incident.branches)
    states[branch] = state
    return tuple(states)


def _again(incident: Incident, step: StepRecord, now: float) -> Change:
    """Order this step and those after it once more."""
    planned = incident.plan.branch(step.rung, step.wave, step.branch)
    rest = [each for each in planned.steps if each.number >= step.number]
    attempt = next_attempt(incident, step.rung, rest)
    records = new_records(step.rung, step.wave, step.branch, rest, attempt, now)
    publish = _publish(incident, step.rung, step.wave, step.branch, records)
    sent = incident.branches[step.branch].orders_sent + 1
    states = with_branch(incident, step.branch, BranchState(orders_sent=sent))
    text = f"{step.operation} on {step.machine}: ordered again, {sent} of {MAX_ATTEMPTS}"
    return Change(states, (*incident.steps, *records), (publish,), (Entry(now, "step", text),))


def _due(check_seconds: float, now: float) -> float:
    return now + check_seconds + PICKUP_SECONDS + REPORT_SECONDS


def _publish(
    incident: Incident, rung: int, wave: int, branch: int, records: Sequence[StepRecord]
) -> Publish:
    seconds = incident.plan.branch(rung, wave, branch).check_seconds
    return Publish(rung, wave, branch, orders_for(incident, records), seconds)
