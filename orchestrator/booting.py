"""The coordinator's dealings with the history of boots: reports in, deadlines out.

What lives here: the steps between the store and the pure functions. What must not: the phases
themselves (core/boots.py). They are kept beside the services' starts, under names of their own.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.core.boots import WAITS, phases, with_deadlines
from orchestrator.core.plan import Plan
from orchestrator.ports import Store
from tasks.contract import WorkReport


def learn(report: WorkReport, store: Store) -> None:
    """Keep how long the phases took that this report ends. The same once more changes nothing."""
    stored = store.load(report.run)
    if stored is None:
        return
    steps = stored.incident.steps
    told = next((e for e in steps if e.key == (report.rung, report.step, report.attempt)), None)
    if told is None or told.operation not in WAITS:
        return
    for each in phases(steps, told):
        name = _name(told.machine, each.name)
        store.starts.add(name, f"{report.order}/{each.name}", each.began_at, each.seconds)


def timed(plan: Plan, store: Store) -> Plan:
    """The plan with the deadlines that history asks for."""

    def history(name: str, phase: str) -> Sequence[float]:
        return store.starts.of(_name(name, phase) if phase else name)

    return with_deadlines(plan, history)


def _name(machine: str, phase: str) -> str:
    # No service is named so: a name has no slash.
    return f"{machine}/{phase}"
