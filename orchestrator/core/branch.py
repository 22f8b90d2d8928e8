"""One branch of a wave: its orders, their reports, its check from outside.

What lives here: the records of steps and branches and the pure functions that publish, record
and judge them. What must not: what is overdue (overdue.py), and moving the incident from state
to state (incident.py).

Deadlines are absolute and are fixed when a chain is published: the k-th order may begin until
all before it could have ended, plus the time to pick one up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchestrator.core.events import Checked, Effect, Entry, Publish
from orchestrator.core.plan import Step
from tasks.contract import Json, Outcome, WorkOrder, WorkReport

if TYPE_CHECKING:
    from orchestrator.core.incident import Incident

PICKUP_SECONDS = 20.0  #: an agent that has not begun an order by then is not going to
REPORT_SECONDS = 10.0  #: a report or a check may be this late before it counts as missing
MAX_ATTEMPTS = 3  #: to get a branch's orders through, when what became of one is unknown


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One attempt at one step. `outcome` is None while it is out."""

    rung: int
    wave: int
    branch: int
    number: int
    attempt: int
    operation: str
    agent: str
    machine: str
    service: str
    arguments: Mapping[str, Json]
    not_after: float
    overdue_at: float
    outcome: Outcome | None = None
    reason: str = ""
    started_at: float | None = None
    ended_at: float | None = None

    @property
    def key(self) -> tuple[int, int, int]:
        return (self.rung, self.number, self.attempt)

    @property
    def late(self) -> bool:
        """Refused only because it came too late: the remedy itself was not tried."""
        refused = self.outcome is Outcome.REFUSED and self.started_at is not None
        return refused and (self.started_at or 0) > self.not_after


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
    """What became of the branches: the new parts of the incident, and what to do."""

    branches: tuple[BranchState, ...]
    steps: tuple[StepRecord, ...] = ()
    effects: tuple[Effect, ...] = ()
    timeline: tuple[Entry, ...] = ()


def publish_wave(incident: Incident, rung: int, wave: int, now: float) -> Change:
    """Orders for every branch of a wave. A rung that runs again gets higher attempts."""
    states, steps, effects = [], [], []
    for index, branch in enumerate(incident.plan.rungs[rung].waves[wave]):
        attempt = _next_attempt(incident, rung, branch.steps)
        records = _records(rung, wave, index, branch.steps, attempt, now)
        if records:
            states.append(BranchState(orders_sent=1))
        else:
            states.append(BranchState(check_due=_due(branch.check_seconds, now), checks_sent=1))
        steps.extend(records)
        effects.append(_publish(incident, rung, wave, index, records))
    return Change(tuple(states), tuple(steps), tuple(effects))


def record_report(
    steps: Sequence[StepRecord], report: WorkReport, run: str
) -> tuple[StepRecord | None, str]:
    """The step with its outcome, or None and why the report changes nothing."""
    key = (report.rung, report.step, report.attempt)
    step = next((each for each in steps if each.key == key), None)
    if step is None or report.run != run or report.agent != step.agent:
        return None, f"report {report.order} from {report.agent} fits no order of run {run}"
    # A step that counted as unknown may still be told by its agent; a told one is settled.
    if step.outcome is not None and (step.outcome, step.ended_at) != (Outcome.UNKNOWN, None):
        return None, f"report {report.order} came again"
    told = replace(
        step,
        outcome=Outcome(report.outcome),
        reason=report.reason,
        started_at=report.started_at,
        ended_at=report.ended_at,
    )
    return told, f"{told.operation} on {told.machine}: {told.outcome}: {told.reason}"


def is_current(incident: Incident, step: StepRecord) -> bool:
    """Whether the branch still waits for this very attempt."""
    if (step.rung, step.wave) != (incident.rung, incident.wave):
        return False
    running = incident.branches[step.branch].passed is None
    return running and step in current_steps(incident, step.branch)


def current_steps(incident: Incident, branch: int) -> tuple[StepRecord, ...]:
    """The newest attempt at each step of a branch of the current wave."""
    newest: dict[int, StepRecord] = {}
    for each in incident.steps:
        if (each.rung, each.wave, each.branch) == (incident.rung, incident.wave, branch):
            newest[each.number] = each
    return tuple(newest[number] for number in sorted(newest))


def settle(incident: Incident, step: StepRecord, now: float) -> Change:
    """After a step's outcome: try again, fail the branch, or wait for its check."""
    state = incident.branches[step.branch]
    if step.outcome is Outcome.UNKNOWN or step.late:
        if state.orders_sent < MAX_ATTEMPTS:
            return _again(incident, step, now)
        return ask_check(incident, step.branch, now)
    if step.outcome is not None and not step.outcome.succeeded:
        reason = f"{step.operation} on {step.machine} {step.outcome}: {step.reason}"
        return Change(
            with_branch(incident, step.branch, replace(state, passed=False, reason=reason))
        )
    if any(each.outcome is None for each in current_steps(incident, step.branch)):
        return Change(incident.branches)
    if state.checked_early:
        return ask_check(incident, step.branch, now)
    planned = incident.plan.branch(incident.rung, incident.wave, step.branch)
    due = _due(planned.check_seconds, now)
    return Change(with_branch(incident, step.branch, replace(state, check_due=due)))


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
        return Change(with_branch(incident, checked.branch, early))
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
    return Change(with_branch(incident, checked.branch, verdict), timeline=(line,))


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
    return Change(with_branch(incident, branch, asked), (), (publish,))


def with_branch(incident: Incident, branch: int, state: BranchState) -> tuple[BranchState, ...]:
    states = list(incident.branches)
    states[branch] = state
    return tuple(states)


def _again(incident: Incident, step: StepRecord, now: float) -> Change:
    """Order this step and those after it once more."""
    planned = incident.plan.branch(step.rung, step.wave, step.branch)
    rest = [each for each in planned.steps if each.number >= step.number]
    attempt = _next_attempt(incident, step.rung, rest)
    records = _records(step.rung, step.wave, step.branch, rest, attempt, now)
    publish = _publish(incident, step.rung, step.wave, step.branch, records)
    sent = incident.branches[step.branch].orders_sent + 1
    states = with_branch(incident, step.branch, BranchState(orders_sent=sent))
    text = f"{step.operation} on {step.machine}: ordered again, {sent} of {MAX_ATTEMPTS}"
    return Change(states, tuple(records), (publish,), (Entry(now, "step", text),))


def _next_attempt(incident: Incident, rung: int, steps: Sequence[Step]) -> int:
    """Higher than any at one of these steps: an order's id must never come twice."""
    numbers = {each.number for each in steps}
    tried = [e.attempt for e in incident.steps if e.rung == rung and e.number in numbers]
    return max(tried, default=0) + 1


def _due(check_seconds: float, now: float) -> float:
    return now + check_seconds + PICKUP_SECONDS + REPORT_SECONDS


def _records(
    rung: int, wave: int, branch: int, steps: Sequence[Step], attempt: int, now: float
) -> list[StepRecord]:
    ends = now + PICKUP_SECONDS
    records = []
    for step in steps:
        not_after, ends = ends, ends + step.seconds
        records.append(
            StepRecord(
                rung,
                wave,
                branch,
                step.number,
                attempt,
                step.operation,
                step.agent,
                step.machine,
                step.service,
                step.arguments,
                not_after=not_after,
                overdue_at=ends + REPORT_SECONDS,
            )
        )
    return records


def orders_for(incident: Incident, records: Sequence[StepRecord]) -> tuple[WorkOrder, ...]:
    """The orders of these attempts, not signed yet."""
    return tuple(
        WorkOrder(
            incident=incident.id,
            run=incident.run,
            epoch=incident.epoch,
            rung=each.rung,
            step=each.number,
            attempt=each.attempt,
            agent=each.agent,
            machine=each.machine,
            service=each.service,
            operation=each.operation,
            arguments=each.arguments,
            not_after=each.not_after,
            seconds=each.overdue_at - REPORT_SECONDS - each.not_after,
        )
        for each in records
    )


def _publish(
    incident: Incident, rung: int, wave: int, branch: int, records: Sequence[StepRecord]
) -> Publish:
    seconds = incident.plan.branch(rung, wave, branch).check_seconds
    return Publish(rung, wave, branch, orders_for(incident, records), seconds)
