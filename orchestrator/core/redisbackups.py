"""Backups of a Redis: the job, and the plans by which one is taken, proved again and restored.

What lives here: these plans, and the binding of a restore point to a plan that names none. What
must not: other kinds, and the fleet recovery's plans (compiling.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import count
from typing import ClassVar

from orchestrator.core.backups import Job, Keep, Offsite, bound_step, only_steps, scenario_of
from orchestrator.core.compiling import bound_settings
from orchestrator.core.fleet import Approval, Fleet
from orchestrator.core.plan import Branch, Catalog, Fault, Plan, PlannedRung, Step
from orchestrator.core.restorepoints import RestorePoint
from tasks.contract import Json

TAKE, PROVE, RESTORE = "redis.backup", "redis.prove", "redis.restore"
SEND, EXAMINE, PRUNE = "backup.send", "redis.doctor", "redis.prune"
OFFSITE, PRUNE_OFFSITE = "redis.offsite", "files.prune"
#: Where a backup arrives on the machine that it is restored on. There is room, and a restart
#: does not empty it.
ARRIVALS = "/var/tmp/autobot-dr"  # noqa: S108 - each is a folder that only its owner may enter


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisJob(Job):
    """A service that is a Redis; the vault itself takes the backups, as a replica would."""

    kind: ClassVar[str] = "redis"

    patterns: tuple[str, ...] = ()
    offsite: Offsite | None = None

    def backup_plan(self, fleet: Fleet, catalog: Catalog) -> Plan | tuple[Fault, ...]:
        """Its own step proves it before it counts as done."""
        service = fleet.services[self.service]
        own = {"into": self.folder, "patterns": list(self.patterns), **self.throttle}
        given = {**bound_settings(fleet.machines[service.machine], service), **own}
        step = bound_step(catalog, TAKE, self.vault, self.vault, self.service, given)
        if faults := catalog.faults(TAKE, step.arguments):
            place = f"backups.{self.name}"
            return tuple(Fault(place, f"{each}; give it in {self.service!r}") for each in faults)
        steps = [step]
        if self.keep:
            # In the same chain: where no new backup was proved, no old one goes.
            steps += [self._prune(self.keep, catalog)]
        steps += self._copying(catalog)
        return only_steps(scenario_of(self), self.name, "Take a backup and prove it", *steps)

    def prune_plan(self, fleet: Fleet, catalog: Catalog, *, dry_run: bool) -> Plan | None:  # noqa: ARG002 the vault alone has a part in it
        if self.keep is None:
            return None
        step = self._prune(self.keep, catalog)
        if dry_run:
            step = replace(step, arguments={**step.arguments, "dry_run": True})
        title = "Look which backups would go" if dry_run else "Remove backups"
        return only_steps(f"prune-{self.name}", self.name, title, step)

    def _prune(self, keep: Keep, catalog: Catalog) -> Step:
        given = {"into": self.folder, **asdict(keep)}
        return bound_step(catalog, PRUNE, self.vault, self.vault, self.service, given)

    def _copying(self, catalog: Catalog) -> list[Step]:
        """To a repository elsewhere, and what need not be kept there goes."""
        if self.offsite is None:
            return []
        given: dict[str, Json] = {
            "job": self.name,
            "into": self.folder,
            "offsite": self.offsite.repository,
            "offsite_password_file": self.offsite.password_file,
            "folder": self.offsite.repository,
            "password_file": self.offsite.password_file,
            **self.throttle,
        }
        operations = [OFFSITE]
        if self.keep:
            operations.append(PRUNE_OFFSITE)
            given |= asdict(self.keep)
        return [
            bound_step(catalog, each, self.vault, self.vault, self.service, given)
            for each in operations
        ]

    def verify_plan(self, point: RestorePoint, fleet: Fleet, catalog: Catalog) -> Plan:
        """Load it once more and compare it with its manifest."""
        service = fleet.services[point.service]
        given = {**service.settings, "backup": point.folder}
        step = bound_step(catalog, PROVE, point.vault, point.vault, service.name, given)
        return only_steps(f"verify-{point.job}", point.job, "Prove a backup once more", step)

    def doctor_plan(self, fleet: Fleet, catalog: Catalog) -> Plan:
        """Look at the service for what will bite its backups; changes nothing."""
        service = fleet.services[self.service]
        machine = fleet.machines[service.machine]
        given = bound_settings(machine, service)
        step = bound_step(catalog, EXAMINE, machine.name, machine.name, service.name, given)
        title = "Look for what will bite a backup"
        return only_steps(f"doctor-{self.name}", self.name, title, step)

    def restore_plan(self, point: RestorePoint, fleet: Fleet, catalog: Catalog) -> Plan:
        """Put it in the place of what its service has; then look from outside."""
        service = fleet.services[point.service]
        machine = fleet.machines[service.machine]
        given = bound_settings(machine, service)
        step = bound_step(catalog, RESTORE, machine.name, machine.name, service.name, given)
        checks = (service.name,)
        branch = Branch(f"restore-{service.name}", (step,), checks, checks, service.start_seconds)
        plan = Plan(branch.name, (PlannedRung("Restore a backup", Approval.AUTO, (branch,)),))
        plan = with_points(plan, {service.name: point}, fleet, catalog)
        backup = self.backup_plan(fleet, catalog)
        return with_new_backup(plan, backup) if isinstance(backup, Plan) else plan

    def restore_means(self, fleet: Fleet) -> str:
        return (
            f"{self.service} on {fleet.services[self.service].machine} gets what it had then; "
            "what it has now is kept beside it, and it is stopped meanwhile"
        )


def with_new_backup(plan: Plan, backup: Plan) -> Plan:
    """After the restore's check, a backup of what is there now. That it failed is told with the
    run's end, and takes nothing back; nothing older is removed in such an hour."""
    (rung,), (own,) = plan.rungs, backup.rungs
    number = sum(len(each.steps) for each in rung.branches)
    take = replace(own.branches[0].steps[0], number=number)
    branch = replace(own.branches[0], steps=(take,), optional=True, needs=(0,), wave=1)
    return replace(plan, rungs=(replace(rung, branches=(*rung.branches, branch)),))


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
        send = bound_step(catalog, SEND, point.vault, step.machine, step.service, given)
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
