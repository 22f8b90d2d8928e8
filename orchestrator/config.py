"""Reads the whole configuration and says everything that is wrong with it at once.

What lives here: `load`, and the warnings that need fleet and runbooks together. What must not:
the shape of any file. A fault keeps the configuration from being used; a warning is told
and does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.catalog import TaskCatalog
from orchestrator.contactcheck import contact_faults
from orchestrator.core.compiling import compile_plan
from orchestrator.core.fleet import Approval, Fleet, Objectives, Scenario
from orchestrator.core.plan import Fault, Plan, PlannedRung
from orchestrator.fleetcheck import read_fleet
from orchestrator.fleetfile import Inventory
from orchestrator.runbooks import read_runbooks
from orchestrator.yamlfile import Document, read_document


@dataclass(frozen=True, slots=True)
class Configuration:
    """A fleet with its scenarios, each compiled for it."""

    inventory: Inventory
    scenarios: Mapping[str, Scenario]
    plans: Mapping[str, Plan]
    warnings: tuple[Fault, ...]
    #: Why contacts cannot be called: a fault for all but who only looks at plans.
    uncallable: tuple[Fault, ...] = ()

    @property
    def fleet(self) -> Fleet:
        return self.inventory.fleet


def load(fleet_path: Path, runbooks: Path) -> Configuration | tuple[Fault, ...]:
    """The configuration, or every fault of all files.

    Without a sound fleet file no runbook can be compiled for it, so then runbooks are judged
    by their shape alone.
    """
    scenarios, faults = read_runbooks(runbooks)
    document = read_document(fleet_path)
    if not isinstance(document, Document):
        return (*document, *faults)
    inventory, notes = read_fleet(document)
    uncallable = contact_faults(document)
    if inventory is None:
        return (*notes, *uncallable, *faults)
    plans: dict[str, Plan] = {}
    warnings = list(notes)
    known = inventory.fleet.services
    scenarios = {p: e for p, e in scenarios.items() if e.only_with in ("", *known)}
    for path, scenario in scenarios.items():
        plan = compile_plan(scenario, inventory.fleet, TaskCatalog())
        if isinstance(plan, Plan):
            plans[scenario.name] = plan
            warnings += _too_slow(path, plan, inventory.fleet.objectives)
        else:
            placed = (_placed(path, scenario, fault) for fault in plan)
            # A step that is repeated for each machine would repeat its fault too.
            faults = (*faults, *dict.fromkeys(placed))
    if faults:
        return (*uncallable, *faults)
    named = {each.name: each for each in scenarios.values()}
    return Configuration(inventory, named, plans, tuple(warnings), uncallable)


def _placed(path: Path, scenario: Scenario, fault: Fault) -> Fault:
    """A compiler's fault, with the file to mend in place of the scenario's name."""
    return replace(
        fault, place=f"{path}, {fault.place.removeprefix(f'scenario {scenario.name}, ')}"
    )


def longest(rung: PlannedRung) -> float:
    """How long a rung may last in seconds, if every step and check uses its whole deadline."""
    ends: list[float] = []
    for each in rung.branches:
        begins = max((ends[before] for before in (*each.needs, *each.awaits)), default=0.0)
        ends.append(begins + sum(step.seconds for step in each.steps) + each.check_seconds)
    return max(ends)


def _too_slow(path: Path, plan: Plan, objectives: Objectives) -> Iterator[Fault]:
    first = longest(plan.rungs[0])
    # What waits for a person can take any time; no deadline of ours bounds it.
    alone = sum(longest(each) for each in plan.rungs if each.approval is Approval.AUTO)
    if first > objectives.rto_target_s:
        message = (
            f"the first rung may last {_minutes(first)}, but the RTO target is "
            f"{_minutes(objectives.rto_target_s)}; give its steps less time"
        )
        yield Fault(str(path), message)
    if alone > objectives.rto_maximum_s:
        message = (
            f"the ladder may last {_minutes(alone)}, but the RTO maximum is "
            f"{_minutes(objectives.rto_maximum_s)}; give its steps less time"
        )
        yield Fault(str(path), message)


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:g} min" if seconds % 60 == 0 else f"{seconds:g} s"
