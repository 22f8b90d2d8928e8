"""A compiled plan as programs see it: what would be done, where, by when, with which commands.

What lives here: the plan's shape, for `plan`, `--dry-run` and the API. What must not: FastAPI,
and any deadline of its own; the times are those that branch.py puts into the orders.
"""

from __future__ import annotations

from collections.abc import Mapping

from typing_extensions import TypedDict

from orchestrator.config import longest
from orchestrator.core.fleet import Fleet, Scenario
from orchestrator.core.plan import Branch, Plan, PlannedRung
from orchestrator.core.steps import PICKUP_SECONDS
from tasks import catalog
from tasks.contract import Json
from tasks.fake import commands


class PlannedStepShape(TypedDict):
    """A step. `begins_by_s` and `ends_by_s` count from the start of its branch."""

    number: int
    operation: str
    summary: str
    agent: str
    machine: str
    service: str
    arguments: dict[str, Json]
    seconds: float
    begins_by_s: float
    ends_by_s: float
    commands: list[str]


class PlannedCheckShape(TypedDict):
    """What is asked from outside when the steps of a branch are done."""

    service: str
    required: bool
    probe: str
    arguments: dict[str, Json]


class BranchShape(TypedDict):
    """Steps one after another. It starts once `needs` have passed and `awaits` have ended."""

    name: str
    optional: bool
    needs: list[str]
    awaits: list[str]
    steps: list[PlannedStepShape]
    checks: list[PlannedCheckShape]
    check_seconds: float


class RungShape(TypedDict):
    """A remedy. A wave is a level of what needs what, to read by; no branch waits for one."""

    title: str
    approval: str
    longest_s: float
    waves: list[list[BranchShape]]


class PlanShape(TypedDict):
    """A recovery plan: a scenario's ladder, compiled for this fleet."""

    scenario: str
    title: str
    impact: str
    symptoms: list[str]
    services: list[str]
    estimate_s: list[float]
    rto_target_s: float
    rto_maximum_s: float
    rungs: list[RungShape]


def plan_shape(plan: Plan, scenario: Scenario, fleet: Fleet) -> PlanShape:
    return {
        "scenario": plan.scenario,
        "title": scenario.title,
        "impact": scenario.impact,
        "symptoms": list(scenario.symptoms),
        "services": list(scenario.services),
        "estimate_s": list(scenario.estimate_s),
        "rto_target_s": fleet.objectives.rto_target_s,
        "rto_maximum_s": fleet.objectives.rto_maximum_s,
        "rungs": [rung_shape(each, fleet) for each in plan.rungs],
    }


def rung_shape(rung: PlannedRung, fleet: Fleet) -> RungShape:
    return {
        "title": rung.title,
        "approval": rung.approval.value,
        "longest_s": longest(rung),
        "waves": [[_branch(each, rung, fleet) for each in wave] for wave in rung.waves],
    }


def _branch(branch: Branch, rung: PlannedRung, fleet: Fleet) -> BranchShape:
    return {
        "name": branch.name,
        "optional": branch.optional,
        "needs": [rung.branches[each].name for each in branch.needs],
        "awaits": [rung.branches[each].name for each in branch.awaits],
        "steps": _steps(branch),
        "checks": [_check(name, branch, fleet) for name in branch.checks],
        "check_seconds": branch.check_seconds,
    }


def _steps(branch: Branch) -> list[PlannedStepShape]:
    found: list[PlannedStepShape] = []
    begins_by = PICKUP_SECONDS
    for step in branch.steps:
        operation = catalog.operations()[step.operation]
        found.append(
            {
                "number": step.number,
                "operation": step.operation,
                "summary": operation.summary,
                "agent": step.agent,
                "machine": step.machine,
                "service": step.service,
                "arguments": dict(step.arguments),
                "seconds": step.seconds,
                "begins_by_s": begins_by,
                "ends_by_s": begins_by + step.seconds,
                "commands": list(commands(operation, step.arguments)),
            }
        )
        begins_by += step.seconds
    return found


def _check(name: str, branch: Branch, fleet: Fleet) -> PlannedCheckShape:
    check = fleet.services[name].check
    arguments: Mapping[str, Json] = check.arguments
    return {
        "service": name,
        "required": name in branch.required,
        "probe": check.probe,
        "arguments": dict(arguments),
    }
