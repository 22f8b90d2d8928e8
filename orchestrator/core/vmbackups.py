"""Snapshots and exports of virtual machines: the job, and the plans to make one and to go back.

What lives here: these plans. What must not: other kinds, and any hypervisor. A snapshot is on the
machine's own disk and so no backup; an export is elsewhere, and nobody has booted it. Neither is
ever `verified`, so neither counts as a restore point for the RPO.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import ClassVar

from orchestrator.core.backups import Job, bound_step, scenario_of
from orchestrator.core.compiling import bound_settings
from orchestrator.core.fleet import Approval, Fleet
from orchestrator.core.plan import Branch, Catalog, Fault, Plan, PlannedRung, Step
from orchestrator.core.restorepoints import PointState, RestorePoint

SNAPSHOT, EXPORT, PRUNE = "vm.snapshot", "vm.export", "vm.prune"
RESTORE, REACHABLE, READY = "vm.restore_snapshot", "machine.reachable", "machine.ready"


@dataclass(frozen=True, slots=True, kw_only=True)
class VmJob(Job):
    """Machines one after the other, by the control machine's agent: a copy is heavy for all."""

    kind: ClassVar[str] = "vm"
    proves: ClassVar[bool] = False

    machines: tuple[str, ...]
    export: str = ""  #: a share that the hypervisor reaches; without it, only snapshots

    def backup_plan(self, fleet: Fleet, catalog: Catalog) -> Plan | tuple[Fault, ...]:
        branches: list[Branch] = []
        faults: list[Fault] = []
        for name in self.machines:
            steps = self._steps(name, fleet, catalog)
            if catalog.faults(steps[0].operation, steps[0].arguments):
                said = f"machine {name!r} is in no hypervisor; give it `vm` and `hypervisor`"
                faults.append(Fault(f"backups.{self.name}", said))
            # Whatever became of the one before: each machine's snapshot is its own.
            awaits = (len(branches) - 1,) if branches else ()
            branches.append(Branch(name, steps, (), (), 0.0, awaits=awaits))
        if faults:
            return tuple(faults)
        title = "Export virtual machines" if self.export else "Take snapshots"
        rung = PlannedRung(title, Approval.AUTO, tuple(_numbered(branches)))
        return Plan(scenario_of(self), (rung,), urgent=False)

    def verify_plan(self, point: RestorePoint, fleet: Fleet, catalog: Catalog) -> Plan | None:
        """Only a boot would prove it."""

    def doctor_plan(self, fleet: Fleet, catalog: Catalog) -> Plan | None:
        """What a hypervisor lacks, its first snapshot tells."""

    def refusal(self, point: RestorePoint) -> str:
        if point.state is PointState.TAKEN:
            return ""
        return (
            f"{point.id} is an export at {point.folder}; it is brought back by hand, beside the "
            "machine that it is of: Import-VM -Copy -GenerateNewId at Hyper-V, virsh define at "
            "libvirt"
        )

    def restore_plan(self, point: RestorePoint, fleet: Fleet, catalog: Catalog) -> Plan:
        """The whole machine goes back, so a person has to say yes to it."""
        machine = fleet.machines[point.machine]
        given = {**bound_settings(machine, None), "name": point.id}
        steps = (
            bound_step(catalog, RESTORE, fleet.control, machine.name, "", given),
            bound_step(catalog, REACHABLE, fleet.control, machine.name, "", given),
            bound_step(catalog, READY, machine.name, machine.name, "", given),
        )
        on_it = [each for each in fleet.services.values() if each.machine == machine.name]
        checks = tuple(each.name for each in on_it)
        required = tuple(each.name for each in on_it if not each.optional)
        seconds = max((each.start_seconds for each in on_it), default=0.0)
        branch = Branch(machine.name, steps, checks, required, seconds)
        rung = PlannedRung(f"Restore snapshot {point.id}", Approval.ASK, tuple(_numbered([branch])))
        return Plan(f"restore-{machine.name}", (rung,))

    def restore_means(self, fleet: Fleet) -> str:  # noqa: ARG002 (a kind may need it)
        return (
            "the whole machine goes back to what it was then, with all its data; what it is now "
            "is kept in another snapshot, and the run waits for a yes"
        )

    @property
    def subject(self) -> str:
        return ", ".join(self.machines)

    @property
    def subjects(self) -> tuple[str, ...]:
        return self.machines

    def _steps(self, machine: str, fleet: Fleet, catalog: Catalog) -> tuple[Step, ...]:
        own = {"prefix": f"{self.name}-{machine}", "job": self.name}
        given = {**bound_settings(fleet.machines[machine], None), **own}
        if self.export:
            given["to"] = self.export
        take = EXPORT if self.export else SNAPSHOT
        steps = [bound_step(catalog, take, fleet.control, machine, "", given)]
        if self.keep:
            # In the same chain: where none was made, none goes.
            kept = {**given, **asdict(self.keep)}
            steps += [bound_step(catalog, PRUNE, fleet.control, machine, "", kept)]
        return tuple(steps)


def _numbered(branches: list[Branch]) -> list[Branch]:
    """With their steps counted through the rung."""
    numbered, number = [], 0
    for branch in branches:
        steps = tuple(replace(each, number=number + i) for i, each in enumerate(branch.steps))
        numbered.append(replace(branch, steps=steps))
        number += len(steps)
    return numbered
