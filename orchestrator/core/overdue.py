"""What should have come by now and did not: silence is never taken for failure.

What lives here: finding steps without a report and checks without an answer. What must not:
sleeping; a `Tick` brings the clock, and deadlines stand in the records (branch.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.core.branch import Change, ask_check, with_branch
from orchestrator.core.events import Entry, Tick
from orchestrator.core.rung import each_branch
from orchestrator.core.steps import REPORT_SECONDS, StepRecord, as_unknown, current_steps

if TYPE_CHECKING:
    from orchestrator.core.incident import Incident

MAX_CHECKS = 3  #: of one branch, when no answer comes back
#: For the look that follows silence. Nothing is known to have been started, so nothing is
#: waited for; a few tries only keep one lost packet from deciding.
LOOK_SECONDS = 3.0


def find_overdue(incident: Incident, tick: Tick, now: float) -> Change:
    """All that is overdue now, in every branch.

    Deadlines that passed while nothing could be heard count from when it could again, so that
    reports which waited in the queue are read before silence is judged.
    """
    if tick.listening_since is None or now <= tick.listening_since + REPORT_SECONDS:
        return Change(incident.branches, incident.steps)
    return each_branch(incident, _overdue, now)


def _overdue(incident: Incident, branch: int, now: float) -> Change | None:
    state = incident.branches[branch]
    if not state.running:
        return None
    out = [each for each in current_steps(incident, branch) if each.outcome is None]
    if out and now > out[0].overdue_at:
        return _give_up_waiting(incident, branch, out, now)
    if out or state.check_due is None or now <= state.check_due:
        return None
    if state.checks_sent < MAX_CHECKS:
        line = Entry(now, "check", "no answer from the check from outside; asked again")
        return replace(ask_check(incident, branch, now), timeline=(line,))
    reason = "the check from outside never came back"
    states = with_branch(incident, branch, replace(state, passed=False, reason=reason))
    return Change(states, incident.steps, (), (Entry(now, "check", reason),))


def _give_up_waiting(
    incident: Incident, branch: int, out: Sequence[StepRecord], now: float
) -> Change:
    """No report in time: unknown, and a look from outside decides."""
    first = out[0]
    reason = f"no report from the agent of {first.agent} by its deadline"
    steps = as_unknown(incident.steps, out[1:], "not reached")
    steps = as_unknown(steps, out[:1], reason)
    line = Entry(now, "step", f"{first.operation} on {first.machine}: unknown: {reason}")
    look = ask_check(incident, branch, now, seconds=LOOK_SECONDS)
    return replace(look, steps=steps, timeline=(line,))
