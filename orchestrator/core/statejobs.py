"""Backups of the coordinator's own state: the job, and the plans by which one is taken and proved.

What lives here: these plans. What must not: other kinds. The control machine copies and proves;
another vault then fetches the copy, since a backup on the machine that is lost is none.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar

from orchestrator.core.backups import Job, bound_step, only_steps, scenario_of
from orchestrator.core.compiling import bound_settings
from orchestrator.core.fleet import Fleet
from orchestrator.core.plan import Catalog, Fault, Plan
from orchestrator.core.restorepoints import RestorePoint
from tasks.contract import Json

TAKE, FETCH, PROVE, PRUNE = "state.backup", "state.fetch", "state.prove", "state.prune"
#: Where the control machine keeps its own copies when the vault is another machine.
SPOOL = "state-backups"
_NEWEST_TWO: dict[str, Json] = {"within_s": 0.0, "daily": 2, "weekly": 0, "monthly": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class StateJob(Job):
    """The store and the files of a coordinator's home."""

    kind: ClassVar[str] = "state"

    home: str  #: on the control machine, and so is the program
    program: str

    def backup_plan(self, fleet: Fleet, catalog: Catalog) -> Plan | tuple[Fault, ...]:
        control, away = fleet.control, self.vault != fleet.control
        place = f"{self.home}/{SPOOL}" if away else self.folder
        given: dict[str, Json] = {"into": place, "home": self.home, "program": self.program}
        steps = [bound_step(catalog, TAKE, control, control, "", given)]
        if away:
            own = bound_settings(fleet.machines[control], None)
            given = {**own, "backups": place, "into": self.folder}
            fetch = bound_step(catalog, FETCH, self.vault, control, "", given)
            if faults := catalog.faults(FETCH, fetch.arguments):
                where = f"backups.{self.name}"
                return tuple(Fault(where, f"{each}; give it in {control!r}") for each in faults)
            given = {"into": place, "copies": True, **_NEWEST_TWO}
            steps += [fetch, bound_step(catalog, PRUNE, control, control, "", given)]
        if self.keep:
            given = {"into": self.folder, **asdict(self.keep)}
            steps.append(bound_step(catalog, PRUNE, self.vault, self.vault, "", given))
        title = "Copy the coordinator's own state and prove the copy"
        return only_steps(scenario_of(self), self.name, title, *steps)

    def verify_plan(self, point: RestorePoint, fleet: Fleet, catalog: Catalog) -> Plan:
        del fleet
        given = {"backup": point.folder}
        step = bound_step(catalog, PROVE, point.vault, point.machine, "", given)
        return only_steps(f"verify-{point.job}", point.job, "Prove a backup once more", step)

    def restore_plan(self, point: RestorePoint, fleet: Fleet, catalog: Catalog) -> Plan:
        """It proves the backup; a coordinator that runs does not replace its own store."""
        return self.verify_plan(point, fleet, catalog)

    def restore_means(self, fleet: Fleet) -> str:
        return (
            "it is only proved here, since a coordinator that runs does not replace its own store; "
            f"end it on {fleet.control}, then `autobot-dr state restore FOLDER`"
        )

    @property
    def subject(self) -> str:
        return "the coordinator's state"

    def doctor_plan(self, fleet: Fleet, catalog: Catalog) -> Plan | None:
        del fleet, catalog
        return None
