"""The phases of a machine's boot: how long each took, and how long it may take the next time.

What lives here: reading phases off the steps of a run, and a plan's deadlines from their history.
What must not: keeping that history (orchestrator/booting.py).

A machine is up when it has power, when its network answers, when its agent takes an order, when
its systemd has started all units, and when its services are healthy; each is a wait of its own.
What a runbook gives a step is the least that it gets: a machine that was slower before gets more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from orchestrator.core.grace import grace
from orchestrator.core.plan import Branch, Plan, Step
from orchestrator.core.steps import StepRecord
from tasks.contract import Outcome

POWER, NETWORK, AGENT, SYSTEMD = "power", "network", "agent", "systemd"
POWERS = ("vm.start", "vm.restart")
#: What each step waits for.
WAITS = {
    **dict.fromkeys(POWERS, (POWER,)),
    "machine.reachable": (NETWORK,),
    "machine.ready": (AGENT, SYSTEMD),
}
#: A boot may take so many times as long as 99 of 100 did: a file system check, a full host.
FACTOR = 2.0
#: And no longer than so many times what the file says: one that was mended by hand took hours.
MOST = 4.0

History = Callable[[str, str], Sequence[float]]  #: of a machine's phase; of a service, by ""


@dataclass(frozen=True, slots=True)
class Phase:
    """One wait of one boot. Times are Unix seconds."""

    name: str
    began_at: float
    seconds: float


def phases(steps: Sequence[StepRecord], told: StepRecord) -> tuple[Phase, ...]:
    """What a step's report shows of its machine's boot; nothing where none took place."""
    before = [
        each
        for each in steps
        if (each.rung, each.branch, each.machine) == (told.rung, told.branch, told.machine)
        and each.outcome is Outcome.DONE
        and each.number <= told.number
    ]
    if not any(each.operation in POWERS for each in (*before, told)):
        return ()
    if told.outcome is not Outcome.DONE or told.started_at is None or told.ended_at is None:
        return ()
    # Its order was sent when the one before it was done, and waited until an agent took it.
    sent_at = max((e.ended_at or 0.0 for e in before if e.number < told.number), default=0.0)
    sent_at = min(sent_at or told.started_at, told.started_at)
    match WAITS.get(told.operation):
        case (one,):
            return (Phase(one, sent_at, told.ended_at - sent_at),)
        case (first, second):
            return (
                Phase(first, sent_at, told.started_at - sent_at),
                Phase(second, told.started_at, told.ended_at - told.started_at),
            )
    return ()


def said(found: Sequence[Phase]) -> str:
    """For the timeline, behind what the step itself says."""
    return "".join(f"; {each.name} after {each.seconds:.1f} s" for each in found)


def with_deadlines(plan: Plan, history: History) -> Plan:
    """Each wait as long as this machine's and this service's own past asks for, or longer."""
    return replace(
        plan,
        rungs=tuple(
            replace(rung, branches=tuple(_branch(each, history) for each in rung.branches))
            for rung in plan.rungs
        ),
    )


def _branch(branch: Branch, history: History) -> Branch:
    steps = tuple(
        replace(each, seconds=_longer(each.seconds, sum(_usual(each, history))))
        for each in branch.steps
    )
    slowest = max((grace(0.0, history(each, "")) for each in branch.checks), default=0.0)
    return replace(branch, steps=steps, check_seconds=_longer(branch.check_seconds, slowest))


def _longer(given_s: float, usual_s: float) -> float:
    return max(given_s, min(FACTOR * usual_s, MOST * given_s))


def _usual(step: Step, history: History) -> Iterator[float]:
    """What 99 of 100 stayed below, for each thing that the step waits for."""
    for phase in WAITS.get(step.operation, ()):
        yield grace(0.0, history(step.machine, phase))
    if step.operation in ("service.start", "service.restart"):
        yield grace(0.0, history(step.service, ""))
