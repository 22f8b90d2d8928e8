"""The state machine that every recovery goes through, from its opening to its end.

The rules of this file:
- all that changes an incident happens in `advance`; it takes values and returns values;
- a message that is late, doubled, foreign or forged is a normal case: nothing changes and
  the decision says why;
- silence never means failure: a step that was not reported in time is `unknown`, and the
  branch's fate is then decided by looking at the services from outside;
- a branch starts only when all that it needs has passed, and passes only on a healthy check
  that came after its last step; the incident is resolved only by a rung that passed.

The values and the legal moves are in incident.py, single steps in steps.py, how a branch is
published and judged in branch.py, which of them may start in rung.py, what is overdue in
overdue.py, what the watcher says in watched.py; this file moves the incident.
"""

from __future__ import annotations

from dataclasses import replace

from orchestrator.core import rung as rungs
from orchestrator.core import watched
from orchestrator.core.branch import BranchState, Change, is_current, judge_check, settle
from orchestrator.core.events import (
    Acknowledged,
    Approved,
    Begin,
    CallHuman,
    Cancelled,
    Checked,
    Entry,
    Event,
    Held,
    Inform,
    Noted,
    Observed,
    Recovered,
    Relapsed,
    Reported,
    Resumed,
    Settled,
    SettledByHand,
    StopCalls,
    Tick,
    Withdraw,
)
from orchestrator.core.fleet import Approval
from orchestrator.core.incident import (
    ENDED,
    WORKING,
    Decision,
    IllegalMove,
    Incident,
    State,
    may_begin,
    move,
)
from orchestrator.core.overdue import find_overdue
from orchestrator.core.steps import StepRecord, order_id, record_report
from tasks.contract import Outcome


def advance(incident: Incident, event: Event, now: float) -> Decision:
    """The one way in which an incident changes. Raises IllegalMove for a person's request
    that does not fit its state; a message that does not fit is ignored with a reason."""
    match event:
        case Begin():
            return _begin(incident, event, now)
        case Held() | Observed() | Recovered() | Relapsed() | Settled() | Noted():
            return watched.seen(incident, event, now)
        case Acknowledged() | SettledByHand():
            return watched.told(incident, event, now)
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
            return _by_hand(incident, incident.rung, f"approved by {by}", now)
        case Resumed(by):
            _demand(incident, State.ESCALATED, "resumed")
            if not incident.plan.rungs:
                raise IllegalMove(f"run {incident.run} has no rung that could be tried")
            rung = min(incident.rung, len(incident.plan.rungs) - 1)
            return _by_hand(incident, rung, f"resumed by {by}", now)
        case Cancelled(by):
            if incident.state in ENDED:
                raise IllegalMove(f"run {incident.run} is {incident.state} and cannot be cancelled")
            return _cancelled(incident, f"cancelled by {by}", now)


def _demand(incident: Incident, state: State, verb: str) -> None:
    if incident.state is not state:
        raise IllegalMove(
            f"run {incident.run} is {incident.state}; only a run that is {state} can be {verb}"
        )


def _by_hand(incident: Incident, rung: int, reason: str, now: float) -> Decision:
    """Somebody has it in hand: whoever was to be called next need not be."""
    started = _started(incident, rung, reason, now)
    return replace(started, effects=(StopCalls(reason), *started.effects))


def _begin(incident: Incident, begin: Begin, now: float) -> Decision:
    if not may_begin(incident):
        return Decision(incident, reasons=(f"begun already, it is {incident.state}",))
    begun = replace(incident, dead=begin.dead, begun=(*incident.begun, now), held=False)
    begun, told = watched.inform(begun)
    first, passed_over = rungs.first_useful(incident.plan, begin.dead)
    reason = "; ".join(filter(None, [begin.ask or incident.reason, passed_over]))
    climbed = _climb(begun, first, reason, now, ask=bool(begin.ask))
    return replace(climbed, effects=(*told, *climbed.effects))


def _climb(
    incident: Incident, rung: int, reason: str, now: float, *, ask: bool = False
) -> Decision:
    """Go to this rung, if there is one and it may start by itself."""
    if rung >= len(incident.plan.rungs):
        return _escalated(incident, f"{reason}; no rung is left", now)
    planned = incident.plan.rungs[rung]
    if planned.approval is Approval.NEVER:
        return _escalated(incident, f"{reason}; rung {planned.title!r} is for people only", now)
    if planned.approval is Approval.ASK or ask:
        text = f"{reason}; rung {planned.title!r} waits for approval"
        asking, line = move(replace(incident, rung=rung), State.AWAITING_APPROVAL, text, now)
        asking = replace(asking, episode=asking.episode + 1, acknowledged_by="")
        return Decision(asking, (CallHuman(text),), (line,), (text,))
    return _started(incident, rung, reason, now)


def _started(incident: Incident, rung: int, reason: str, now: float) -> Decision:
    """Begin a rung with all branches that need nothing."""
    planned = incident.plan.rungs[rung]
    text = f"rung {rung + 1} of {len(incident.plan.rungs)}, {planned.title!r}: {reason}"
    line = Entry(now, "state", text)
    if incident.state is not State.RECOVERING:
        incident, line = move(incident, State.RECOVERING, text, now)
    fresh = (BranchState(),) * len(planned.branches)
    return _go_on(Decision(replace(incident, rung=rung, branches=fresh), (), (line,)), now)


def _after_step(
    incident: Incident, step: StepRecord, text: str, detail: str, now: float
) -> Decision:
    """A step's outcome came in, the first for it."""
    steps = tuple(step if each.key == step.key else each for each in incident.steps)
    incident = replace(incident, steps=steps, first_effect_at=_first_effect(incident, step))
    line = Entry(now, "step", text, detail)
    if incident.state not in WORKING or not is_current(incident, step):
        return Decision(incident, timeline=(line,), reasons=(text,))
    decision = Decision(incident, (), (line,), (text,))
    return _go_on(_changed(decision, settle(incident, step, now)), now)


def _first_effect(incident: Incident, step: StepRecord) -> float | None:
    """Reports come in any order, and what was refused was never begun."""
    known = [incident.first_effect_at, None if step.outcome is Outcome.REFUSED else step.started_at]
    return min((each for each in known if each is not None), default=None)


def _after_check(incident: Incident, event: Checked, now: float) -> Decision:
    if incident.state not in WORKING or event.rung != incident.rung:
        return Decision(incident, reasons=("a check of something that is over",))
    judged = judge_check(incident, event, now)
    if judged is None:
        return Decision(incident, reasons=("a check that this branch does not wait for",))
    return _go_on(_changed(Decision(incident), judged), now)


def _after_tick(incident: Incident, tick: Tick, now: float) -> Decision:
    if incident.state is State.AWAITING_APPROVAL and incident.asked_at is not None:
        rung = incident.plan.rungs[incident.rung]
        if now > incident.asked_at + rung.within_s:
            waited = f"nobody allowed rung {rung.title!r} within {rung.within_s / 60:g} min"
            return _escalated(incident, waited, now)
    if incident.state not in WORKING:
        return Decision(incident)
    return _go_on(_changed(Decision(incident), find_overdue(incident, tick, now)), now)


def _cancelled(incident: Incident, reason: str, now: float) -> Decision:
    """Nothing further is begun, and the agents hear that what is out is not wanted any more."""
    out = tuple((e.agent, order_id(incident, e)) for e in incident.steps if e.outcome is None)
    ended = _escalated(incident, reason, now)
    withdraw = (Withdraw(out, reason),) if out else ()
    return replace(ended, effects=(*withdraw, *ended.effects))


def _changed(decision: Decision, change: Change) -> Decision:
    """The decision with what became of the branches."""
    return replace(
        decision,
        incident=replace(decision.incident, branches=change.branches, steps=change.steps),
        effects=decision.effects + change.effects,
        timeline=decision.timeline + change.timeline,
    )


def _go_on(decision: Decision, now: float) -> Decision:
    """After a branch changed: start what may start now; else the next rung, the end, or wait."""
    decision = _changed(decision, rungs.start_ready(decision.incident, now))
    incident = replace(decision.incident, notes=rungs.still_wrong(decision.incident))
    if any(each.passed is None for each in incident.branches):
        go_on = _verifying if rungs.only_checks_left(incident) else _recovering
        return go_on(replace(decision, incident=incident), now)
    if failed := rungs.why_failed(incident):
        following = _climb(incident, incident.rung + 1, failed, now)
    else:
        # Where the last to end was a step that failed, and may, nothing was left to look at.
        decision = _verifying(replace(decision, incident=incident), now)
        following = _resolved(decision.incident, now)
    return replace(
        following,
        effects=decision.effects + following.effects,
        timeline=decision.timeline + following.timeline,
        reasons=decision.reasons + following.reasons,
    )


def _verifying(decision: Decision, now: float) -> Decision:
    """No step is out and none will be: only looking from outside is left."""
    if decision.incident.state is not State.RECOVERING:
        return decision
    verifying, line = move(decision.incident, State.VERIFYING, "all steps are in", now)
    return replace(decision, incident=verifying, timeline=(*decision.timeline, line))


def _recovering(decision: Decision, now: float) -> Decision:
    """Steps are out; if only looking was left, a step was ordered again since."""
    if decision.incident.state is not State.VERIFYING:
        return decision
    recovering, line = move(decision.incident, State.RECOVERING, "a step was ordered again", now)
    return replace(decision, incident=recovering, timeline=(*decision.timeline, line))


def _resolved(incident: Incident, now: float) -> Decision:
    looked = any(each.checks for each in incident.plan.rungs[incident.rung].branches)
    seen = "verified from outside" if looked else "all steps are done, each seen where it was done"
    return watched.resolved(incident, "; ".join([seen, *incident.notes]), now)


def _escalated(incident: Incident, reason: str, now: float) -> Decision:
    ended = watched.escalated(incident, reason, now)
    return ended if incident.plan.urgent else replace(ended, effects=(Inform(reason),))
