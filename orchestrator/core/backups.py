"""Backup jobs, and the plans by which a backup is taken, proved again and restored.

What lives here: what is backed up where and when, and these plans. What must not: what came of
them (restorepoints.py), and the fleet recovery's plans (compiling.py).

A backup is a run like any other, but nothing is asked from outside afterwards: that the backup
was loaded and counted is what its own step shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from itertools import count

from orchestrator.core.compiling import bound_settings
from orchestrator.core.fleet import Approval, Fleet
from orchestrator.core.plan import Branch, Catalog, Fault, Plan, PlannedRung, Step
from orchestrator.core.restorepoints import RestorePoint
from tasks.contract import Json

TAKE, PROVE, RESTORE = "redis.backup", "redis.prove", "redis.restore"
SEND, EXAMINE, PRUNE = "backup.send", "redis.doctor", "redis.prune"
#: Where a backup arrives on the machine that it is restored on. There is room, and a restart
#: does not empty it.
ARRIVALS = "/var/tmp/autobot-dr"  # noqa: S108 - each is a folder that only its owner may enter
EVERY_DAY = frozenset(range(7))


class Kind(StrEnum):
    """What is backed up, and so how."""

    REDIS = "redis"


@dataclass(frozen=True, slots=True)
class Keep:
    """The newest verified of so many days, weeks and months; and all that is younger."""

    within_s: float
    daily: int
    weekly: int
    monthly: int


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
    keep: Keep | None = None  #: None: nothing is ever removed


def scenario_of(job: Job) -> str:
    return f"backup-{job.name}"


def backup_plan(job: Job, fleet: Fleet, catalog: Catalog) -> Plan | tuple[Fault, ...]:
    """Take a backup; its own step proves it before it counts as done."""
    service = fleet.services[job.service]
    own = {"into": job.folder, "patterns": list(job.patterns)}
    given = {**bound_settings(fleet.machines[service.machine], service), **own}
    step = _step(catalog, TAKE, job.vault, job.vault, job.service, given)
    if faults := catalog.faults(TAKE, step.arguments):
        place = f"backups.{job.name}"
        return tuple(Fault(place, f"{each}; give it in {job.service!r}") for each in faults)
    steps = [step]
    if job.keep:
        given = {"into": job.folder, **asdict(job.keep)}
        prune = _step(catalog, PRUNE, job.vault, job.vault, job.service, given)
        # In the same chain: where no new backup was proved, no old one goes.
        steps.append(replace(prune, number=1))
    return _only_steps(scenario_of(job), job.name, "Take a backup and prove it", *steps)


def verify_plan(point: RestorePoint, fleet: Fleet, catalog: Catalog) -> Plan:
    """Load a backup once more and compare it with its manifest."""
    service = fleet.services[point.service]
    given = {**service.settings, "backup": point.folder}
    step = _step(catalog, PROVE, point.vault, point.vault, service.name, given)
    return _only_steps(f"verify-{point.job}", point.job, "Prove a backup once more", step)


def doctor_plan(job: Job, fleet: Fleet, catalog: Catalog) -> Plan:
    """Look at the service for what will bite its backups; changes nothing."""
    service = fleet.services[job.service]
    machine = fleet.machines[service.machine]
    given = bound_settings(machine, service)
    step = _step(catalog, EXAMINE, machine.name, machine.name, service.name, given)
    return _only_steps(f"doctor-{job.name}", job.name, "Look for what will bite a backup", step)


def restore_plan(point: RestorePoint, fleet: Fleet, catalog: Catalog) -> Plan:
    """Put a restore point in the place of what its service has; then look from outside."""
    service = fleet.services[point.service]
    machine = fleet.machines[service.machine]
    given = bound_settings(machine, service)
    step = _step(catalog, RESTORE, machine.name, machine.name, service.name, given)
    checks = (service.name,)
    branch = Branch(f"restore-{service.name}", (step,), checks, checks, service.start_seconds)
    plan = Plan(branch.name, (PlannedRung("Restore a backup", Approval.AUTO, (branch,)),))
    return with_points(plan, {service.name: point}, fleet, catalog)


def _only_steps(scenario: str, job: str, title: str, *steps: Step) -> Plan:
    branch = Branch(job, steps, (), (), 0.0)
    return Plan(scenario, (PlannedRung(title, Approval.AUTO, (branch,)),), urgent=False)


def _step(
    catalog: Catalog,
    operation: str,
    agent: str,
    machine: str,
    service: str,
    given: Mapping[str, Json],
) -> Step:
    spec = catalog.spec(operation)
    if spec is None:
        raise LookupError(f"there is no operation {operation!r}; this installation is incomplete")
    arguments = {name: each for name, each in given.items() if name in spec.arguments}
    return Step(0, operation, agent, machine, service, arguments, spec.seconds)


def with_points(
    plan: Plan, points: Mapping[str, RestorePoint], fleet: Fleet, catalog: Catalog
) -> Plan:
    """The plan in which each restore that names no backup gets the newest proved one.

    Bound when the run is opened: a backup that is taken later may hold the damage. What the
    vault keeps is first brought to the machine that it is restored on.
    """

    def bound(step: Step) -> tuple[Step, ...]:
        point = points.get(step.service)
        if step.operation != RESTORE or point is None or step.arguments.get("backup"):
            return (step,)
        if point.vault == step.machine:
            return (_naming(step, point, point.folder),)
        into = f"{ARRIVALS}/{point.id}"
        machine = fleet.machines[step.machine]
        given = {**bound_settings(machine, None), "backup": point.folder, "into": into}
        send = _step(catalog, SEND, point.vault, step.machine, step.service, given)
        return (send, _naming(step, point, into))

    return replace(plan, rungs=tuple(_rebuilt(each, bound, points) for each in plan.rungs))


def _naming(step: Step, point: RestorePoint, folder: str) -> Step:
    return replace(step, arguments={**step.arguments, "backup": folder, "id": point.id})


def _rebuilt(
    rung: PlannedRung,
    bound: Callable[[Step], tuple[Step, ...]],
    points: Mapping[str, RestorePoint],
) -> PlannedRung:
    """With all its steps bound and counted anew; whoever is to approve it reads which backup."""
    number = count()
    branches = tuple(
        replace(
            branch,
            steps=tuple(
                replace(each, number=next(number)) for step in branch.steps for each in bound(step)
            ),
        )
        for branch in rung.branches
    )
    if branches == rung.branches:
        return rung
    named = {s.service for b in rung.branches for s in b.steps if s.operation == RESTORE}
    which = ", ".join(points[name].id for name in sorted(named & set(points)))
    return replace(rung, title=f"{rung.title}: {which}", branches=branches)


def needing_points(plan: Plan) -> frozenset[str]:
    """Those for which a restore point has to be chosen."""
    steps = [s for rung in plan.rungs for branch in rung.branches for s in branch.steps]
    return frozenset(
        each.service
        for each in steps
        if each.operation == RESTORE and not each.arguments.get("backup")
    )
