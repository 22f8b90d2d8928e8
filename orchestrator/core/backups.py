"""Backup jobs, and the plans by which a backup is taken, proved again and restored.

What lives here: what is backed up where and when, and these plans. What must not: what came of
them (restorepoints.py), and the fleet recovery's plans (compiling.py).

A backup is a run like any other, but nothing is asked from outside afterwards: that the backup
was loaded and counted is what its own step shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from orchestrator.core.compiling import bound_settings
from orchestrator.core.fleet import Approval, Fleet
from orchestrator.core.plan import Branch, Catalog, Fault, Plan, PlannedRung, Step
from orchestrator.core.restorepoints import RestorePoint
from tasks.contract import Json

TAKE, PROVE, RESTORE = "redis.backup", "redis.prove", "redis.restore"
EVERY_DAY = frozenset(range(7))


class Kind(StrEnum):
    """What is backed up, and so how."""

    REDIS = "redis"


@dataclass(frozen=True, slots=True)
class Job:
    """One thing that is backed up again and again. Times are seconds."""

    name: str
    kind: Kind
    service: str
    vault: str  #: the machine whose agent takes and keeps the backups
    folder: str  #: on the vault
    rpo_target_s: float  #: how old the newest verified one may become
    rpo_maximum_s: float
    patterns: tuple[str, ...] = ()
    at_s: float | None = None  #: of the day, in UTC; None: only on demand, or every so often
    days: frozenset[int] = EVERY_DAY  #: 0 is Monday
    every_s: float | None = None


def scenario_of(job: Job) -> str:
    return f"backup-{job.name}"


def backup_plan(job: Job, fleet: Fleet, catalog: Catalog) -> Plan | tuple[Fault, ...]:
    """Take a backup; its own step proves it before it counts as done."""
    return _vault_plan(job, fleet, catalog, TAKE, {"into": job.folder})


def verify_plan(
    job: Job, point: RestorePoint, fleet: Fleet, catalog: Catalog
) -> Plan | tuple[Fault, ...]:
    """Load a backup once more and compare it with its manifest."""
    return _vault_plan(job, fleet, catalog, PROVE, {"backup": point.folder})


def _vault_plan(
    job: Job, fleet: Fleet, catalog: Catalog, operation: str, own: Mapping[str, Json]
) -> Plan | tuple[Fault, ...]:
    service = fleet.services[job.service]
    given = {**bound_settings(fleet.machines[service.machine], service), **own}
    step = _step(catalog, operation, job.vault, job.vault, job.service, given, job.patterns)
    if faults := catalog.faults(operation, step.arguments):
        place = f"backups.{job.name}"
        return tuple(Fault(place, f"{each}; give it in {job.service!r}") for each in faults)
    branch = Branch(job.name, (step,), (), (), 0.0)
    rung = PlannedRung(_TITLES[operation], Approval.AUTO, (branch,))
    return Plan(scenario_of(job), (rung,), urgent=False)


_TITLES = {
    TAKE: "Take a backup and prove it",
    PROVE: "Prove a backup once more",
}


def _step(
    catalog: Catalog,
    operation: str,
    agent: str,
    machine: str,
    service: str,
    given: Mapping[str, Json],
    patterns: tuple[str, ...] = (),
) -> Step:
    spec = catalog.spec(operation)
    wanted = spec.arguments if spec else ()
    arguments = {name: each for name, each in given.items() if name in wanted}
    if patterns and "patterns" in wanted:
        arguments["patterns"] = list(patterns)
    return Step(0, operation, agent, machine, service, arguments, spec.seconds if spec else 0.0)


def restore_plan(point: RestorePoint, fleet: Fleet, catalog: Catalog) -> Plan:
    """Put a restore point in the place of what its service has; then look from outside."""
    service = fleet.services[point.service]
    machine = fleet.machines[service.machine]
    given = bound_settings(machine, service)
    step = _step(catalog, RESTORE, machine.name, machine.name, service.name, given)
    branch = Branch(
        f"restore-{point.service}", (step,), (service.name,), (service.name,), service.start_seconds
    )
    rung = PlannedRung("Restore a proved backup", Approval.AUTO, (branch,))
    return with_points(Plan(branch.name, (rung,)), {service.name: point})


def with_points(plan: Plan, points: Mapping[str, RestorePoint]) -> Plan:
    """The plan in which each restore that names no backup gets the newest proved one.

    Bound when the run is opened: a backup that is taken later may hold the damage.
    """
    return replace(plan, rungs=tuple(_with_points(each, points) for each in plan.rungs))


def _with_points(rung: PlannedRung, points: Mapping[str, RestorePoint]) -> PlannedRung:
    chosen: dict[str, None] = {}
    branches = []
    for branch in rung.branches:
        steps = []
        for step in branch.steps:
            point = points.get(step.service)
            if step.operation == RESTORE and point and not step.arguments.get("backup"):
                named = {"backup": point.folder, "id": point.id}
                step = replace(step, arguments={**step.arguments, **named})
                chosen[point.id] = None
            steps.append(step)
        branches.append(replace(branch, steps=tuple(steps)))
    if not chosen:
        return rung
    return replace(rung, title=f"{rung.title}: {', '.join(chosen)}", branches=tuple(branches))


def restored_services(plan: Plan) -> frozenset[str]:
    """Those for which a restore point has to be chosen."""
    steps = [s for rung in plan.rungs for branch in rung.branches for s in branch.steps]
    return frozenset(
        each.service
        for each in steps
        if each.operation == RESTORE and not each.arguments.get("backup")
    )
