"""The branches of a rung together: which may start, what is left to do, how it ended.

What lives here: all that needs more than one branch's state. What must not: a branch's own fate
(branch.py) and moving the incident (advance.py).

A branch starts as soon as all that it needs has passed; it waits for nothing else. One whose
need failed is never started, so an optional machine's failure ends only what needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.core.branch import BranchState, Change, start, with_branch
from orchestrator.core.events import Entry
from orchestrator.core.plan import Plan, PlannedRung
from orchestrator.core.steps import current_steps
from tasks.contract import Outcome

if TYPE_CHECKING:
    from orchestrator.core.incident import Incident


def first_useful(plan: Plan, dead: tuple[str, ...]) -> tuple[int, str]:
    """The first rung that does not begin with an agent that is known to be dead, and why.

    Its orders would only run into their deadlines. If all rungs are so, the first is as good
    as any.
    """
    for number, rung in enumerate(plan.rungs):
        silent = {each.steps[0].agent for each in rung.branches if each.steps} & set(dead)
        if not silent:
            reason = f"the agent of {', '.join(sorted(dead))} does not answer" if number else ""
            return number, reason
    return 0, ""


def each_branch(
    incident: Incident, change: Callable[[Incident, int, float], Change | None], now: float
) -> Change:
    """The branches in turn; each sees what became of those before it."""
    whole = Change(incident.branches, incident.steps)
    for index in range(len(incident.branches)):
        if one := change(incident, index, now):
            incident = replace(incident, branches=one.branches, steps=one.steps)
            whole = replace(
                one, effects=whole.effects + one.effects, timeline=whole.timeline + one.timeline
            )
    return whole


def start_ready(incident: Incident, now: float) -> Change:
    """Start every branch that may start, and end those that never will.

    A branch stands after all that it needs, so once through them is enough.
    """
    return each_branch(incident, _start, now)


def _start(incident: Incident, branch: int, now: float) -> Change | None:
    state = incident.branches[branch]
    if state.started or state.passed is not None:
        return None
    planned = incident.plan.branch(incident.rung, branch)
    for need in planned.needs:
        if incident.branches[need].passed is False:
            return _not_started(incident, branch, need, now)
    before = (*planned.needs, *planned.awaits)
    ended = all(incident.branches[each].passed is not None for each in before)
    return start(incident, branch, now) if ended else None


def _not_started(incident: Incident, branch: int, need: int, now: float) -> Change:
    planned, needed = (incident.plan.branch(incident.rung, each) for each in (branch, need))
    verb = "started" if planned.steps else "looked at"
    reason = f"{planned.name} not {verb}, because {needed.name} is not back"
    states = with_branch(incident, branch, BranchState(passed=False, reason=reason))
    return Change(states, incident.steps, timeline=(Entry(now, "step", reason),))


def only_checks_left(incident: Incident) -> bool:
    """Whether no step is out any more and none will be."""
    for index, state in enumerate(incident.branches):
        if state.passed is not None:
            continue
        if not state.started and incident.plan.branch(incident.rung, index).steps:
            return False
        if any(each.outcome is None for each in current_steps(incident, index)):
            return False
    return True


def to_be_asked_after(incident: Incident, rung: PlannedRung) -> str:
    """What failed before, and makes this rung one that may cost something; empty if nothing."""
    failed = {
        each.operation
        for each in incident.steps
        if each.operation in rung.ask_after and each.outcome is Outcome.FAILED
    }
    return f"after a failed {', '.join(sorted(failed))} this may lose data" if failed else ""


def still_wrong(incident: Incident) -> tuple[str, ...]:
    """What is not as it should be, in a rung that passed nevertheless."""
    planned = incident.plan.rungs[incident.rung].branches
    pairs = zip(incident.branches, planned, strict=True)
    said = [s.note or s.reason for s, b in pairs if s.note or (s.passed is False and b.optional)]
    return tuple(dict.fromkeys(said))


def why_failed(incident: Incident) -> str:
    """Why the rung did not pass, once all its branches have ended; empty if it did."""
    planned = incident.plan.rungs[incident.rung].branches
    failed = [(s, b) for s, b in zip(incident.branches, planned, strict=True) if not s.passed]
    if all(branch.optional for _, branch in failed):
        return ""
    reasons = [state.reason for state, _ in failed if state.started]
    # Why those were not started is said by what did fail; the timeline has each of them.
    if left := [branch.name for state, branch in failed if branch.steps and not state.started]:
        reasons.append(f"not started: {', '.join(left)}")
    return "; ".join(reasons)
