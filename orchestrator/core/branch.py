"""One branch of a rung: sending its orders, settling their outcomes, judging its check.

What lives here: a branch's state and the pure functions that change it. What must not: single
steps (steps.py), when it may start (rung.py), what is overdue (overdue.py), and moving the
incident (advance.py).
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
    """How far a branch of the current rung is. `passed` is None until it has ended."""

    passed: bool | None = None
    reason: str = ""
    note: str = ""  #: what is wrong although the branch passed
    orders_sent: int = 0  #: how often, since the branch started
    check_due: float | None = None  #: when the awaited check counts as lost
    checks_sent: int = 0  #: how often it was asked for by itself, since the orders
    checked_early: bool = False  #: a check came before the last report; another is needed

    @property
    def started(self) -> bool:
        return self.orders_sent + self.checks_sent > 0

    @property
    def running(self) -> bool:
        return self.started and self.passed is None


@dataclass(frozen=True, slots=True)
class Change:
    """What became of the branches: their states, the whole history of steps, what to do."""

    branches: tuple[BranchState, ...]
    steps: tuple[StepRecord, ...]
    effects: tuple[Effect, ...] = ()
    timeline: tuple[Entry, ...] = ()


def start(incident: Incident, branch: int, now: float) -> Change:
    """The branch's first orders. A rung that runs again gives higher attempts."""
    planned = incident.plan.branch(incident.rung, branch)
    attempt = next_attempt(incident, incident.rung, planned.steps)
    records = new_records(incident.rung, branch, planned.steps, attempt, now)
    if not records:
        return ask_check(incident, branch, now)
    states = with_branch(incident, branch, BranchState(orders_sent=1))
    return Change(states, (*incident.steps, *records), (_publish(incident, branch, records),))


def is_current(incident: Incident, step: StepRecord) -> bool:
    """Whether the branch still waits for this very attempt."""
    here = step.rung == incident.rung and incident.branches[step.branch].running
    return here and step in current_steps(incident, step.branch)


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
    planned = incident.plan.branch(incident.rung, step.branch)
    due = _due(planned.check_seconds, now)
    waiting = replace(state, check_due=due)
    return Change(with_branch(incident, step.branch, waiting), incident.steps)


def judge_check(incident: Incident, checked: Checked, now: float) -> Change | None:
    """A branch's verdict from outside; None when nobody waits for one."""
    if not 0 <= checked.branch < len(incident.branches):
        return None
    state = incident.branches[checked.branch]
    if not state.running:
        return None
    steps = current_steps(incident, checked.branch)
    if any(each.outcome is None for each in steps):
        early = replace(state, checked_early=True)
        return Change(with_branch(incident, checked.branch, early), incident.steps)
    planned = incident.plan.branch(incident.rung, checked.branch)
    healthy = {each.service for each in checked.results if each.healthy}
    ill = [f"{each.service}: {each.reason}" for each in checked.results if not each.healthy]
    passed = set(planned.required) <= healthy
    open_end = next((each for each in steps if not (each.outcome and each.outcome.succeeded)), None)
    text = f"{planned.name} seen from outside: {'; '.join(ill) or 'healthy'}"
    if not planned.checks:
        # Nobody else can tell: it passes by what its own steps have shown, or not at all.
        passed = open_end is None
        what = f"{open_end.operation} {open_end.reason}" if open_end else "all steps are done"
        text = f"{planned.name}: {what}"
    line = Entry(now, "check", text)
    # An agent that was silent to the deadline would be so again: the next rung is for that.
    told = open_end is not None and open_end.ended_at is not None
    if not passed and open_end is not None and told and state.orders_sent < MAX_ATTEMPTS:
        again = _again(incident, open_end, now)
        return replace(again, timeline=(line, *again.timeline))
    note = text if passed and ill else ""
    verdict = replace(state, passed=passed, reason=text, note=note)
    branches = with_branch(incident, checked.branch, verdict)
    return Change(branches, incident.steps, timeline=(line,))


def ask_check(
    incident: Incident, branch: int, now: float, *, seconds: float | None = None
) -> Change:
    """Ask for a look from outside, now; `seconds` as planned unless told otherwise."""
    state = incident.branches[branch]
    publish = _publish(incident, branch, [])
    if seconds is not None:
        publish = replace(publish, check_seconds=seconds)
    asked = replace(
        state,
        check_due=_due(publish.check_seconds, now),
        checks_sent=state.checks_sent + 1,
        checked_early=False,
    )
    return Change(with_branch(incident, branch, asked), incident.steps, (publish,))


def unfinished(incident: Incident) -> tuple[Publish, ...]:
    """What was sent and has not come back: of each running branch the very same orders."""
    found = []
    for index, state in enumerate(incident.branches):
        out = [each for each in current_steps(incident, index) if each.outcome is None]
        if state.running and (out or state.check_due is not None):
            found.append(_publish(incident, index, out))
    return tuple(found)


def with_branch(incident: Incident, branch: int, state: BranchState) -> tuple[BranchState, ...]:
    states = list(incident.branches)
    states[branch] = state
    return tuple(states)


def _again(incident: Incident, step: StepRecord, now: float) -> Change:
    """Order this step and those after it once more."""
    planned = incident.plan.branch(step.rung, step.branch)
    rest = [each for each in planned.steps if each.number >= step.number]
    attempt = next_attempt(incident, step.rung, rest)
    records = new_records(step.rung, step.branch, rest, attempt, now)
    publish = _publish(incident, step.branch, records)
    sent = incident.branches[step.branch].orders_sent + 1
    states = with_branch(incident, step.branch, BranchState(orders_sent=sent))
    text = f"{step.operation} on {step.machine}: ordered again, {sent} of {MAX_ATTEMPTS}"
    return Change(states, (*incident.steps, *records), (publish,), (Entry(now, "step", text),))


def _due(check_seconds: float, now: float) -> float:
    return now + check_seconds + PICKUP_SECONDS + REPORT_SECONDS


def _publish(incident: Incident, branch: int, records: Sequence[StepRecord]) -> Publish:
    seconds = incident.plan.branch(incident.rung, branch).check_seconds
    return Publish(incident.rung, branch, orders_for(incident, records), seconds)
