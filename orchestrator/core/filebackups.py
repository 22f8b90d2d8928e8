"""Backups of files: the job, and the plans by which one is taken, proved, copied and restored.

What lives here: these plans. What must not: other kinds. A plan is one chain through two agents:
the machine pushes what it has, the vault proves it, and only then removes and copies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar

from orchestrator.core.backups import Job, Offsite, bound_step, only_steps, scenario_of
from orchestrator.core.fleet import Fleet
from orchestrator.core.plan import Catalog, Fault, Plan, Step
from orchestrator.core.restorepoints import RestorePoint
from tasks.contract import Json

PUSH, PROVE, CHECK, PRUNE = "files.backup", "files.prove", "files.check", "files.prune"
OFFSITE, LIST, RESTORE = "files.offsite", "files.list", "files.restore"


@dataclass(frozen=True, slots=True)
class Push:
    """How a machine comes to its vault: with a key of its own that opens one door."""

    user: str
    key: str
    port: int
    known_hosts: str


#: On each machine: where things are collected, and where they come back.
ROOM = "/var/lib/autobot-dr/files"


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesJob(Job):
    """What a machine has in files; its agent pushes them, the vault's proves them."""

    kind: ClassVar[str] = "files"

    password_file: str  #: on the machine and on the vault
    max_bytes: int
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    sqlite: tuple[str, ...] = ()
    git: tuple[str, ...] = ()
    ollama: str = ""
    room: str = ROOM
    push: Push | None = None  #: None: the machine is the vault
    offsite: Offsite | None = None

    def backup_plan(self, fleet: Fleet, catalog: Catalog) -> Plan | tuple[Fault, ...]:
        steps = [
            self._on_machine(catalog, PUSH, fleet, {}),
            self._at_vault(catalog, PROVE, {}),
            self._at_vault(catalog, CHECK, {}),
        ]
        # In the same chain: where nothing new was proved, nothing old goes.
        steps += self._pruning(catalog, {})
        if away := self.offsite:
            given = {"offsite": away.repository, "offsite_password_file": away.password_file}
            steps.append(self._at_vault(catalog, OFFSITE, given))
            other = {"folder": away.repository, "password_file": away.password_file}
            steps += self._pruning(catalog, other)
        return only_steps(scenario_of(self), self.name, "Push files and prove them", *steps)

    def verify_plan(self, point: RestorePoint, _fleet: Fleet, catalog: Catalog) -> Plan:
        """Restore it to a scratch folder on the vault once more, and compare."""
        step = self._at_vault(catalog, PROVE, {"snapshot": _snapshot(point)})
        return only_steps(f"verify-{self.name}", self.name, "Prove a backup once more", step)

    def scan_plan(self, _fleet: Fleet, catalog: Catalog) -> Plan:
        step = self._at_vault(catalog, LIST, {})
        return only_steps(f"scan-{self.name}", self.name, "List what the repository has", step)

    def restore_plan(self, point: RestorePoint, fleet: Fleet, catalog: Catalog) -> Plan:
        step = self._on_machine(catalog, RESTORE, fleet, {"snapshot": _snapshot(point)})
        title = f"Restore files into a folder: {point.id}"
        return only_steps(f"restore-{self.name}", self.name, title, step)

    def restore_means(self, _fleet: Fleet) -> str:
        return (
            f"on {self.machine} it comes whole into a folder in {self.room}/restored, and nothing "
            "that is in use is touched; a script in that folder puts it in place"
        )

    def doctor_plan(self, _fleet: Fleet, _catalog: Catalog) -> None:
        return None

    def _on_machine(
        self, catalog: Catalog, operation: str, fleet: Fleet, more: Mapping[str, Json]
    ) -> Step:
        given: dict[str, Json] = {
            **self._common(),
            "machine": self.machine,
            "max_bytes": self.max_bytes,
            "include": list(self.include),
            "exclude": list(self.exclude),
            "sqlite": list(self.sqlite),
            "git": list(self.git),
            "ollama": self.ollama,
            "staging": f"{self.room}/staging",
            "restored": f"{self.room}/restored",
        }
        if self.push:
            given["vault_address"] = fleet.machines[self.vault].address
            given |= {f"push_{name}": each for name, each in asdict(self.push).items()}
        return bound_step(catalog, operation, self.machine, self.machine, "", {**given, **more})

    def _at_vault(self, catalog: Catalog, operation: str, more: Mapping[str, Json]) -> Step:
        """By the vault's agent; the machine is the one that the backup is of."""
        given = {**self._common(), **more}
        return bound_step(catalog, operation, self.vault, self.machine, "", given)

    def _pruning(self, catalog: Catalog, more: Mapping[str, Json]) -> list[Step]:
        if self.keep is None:
            return []
        return [self._at_vault(catalog, PRUNE, {**asdict(self.keep), **more})]

    def _common(self) -> dict[str, Json]:
        return {"job": self.name, "folder": self.folder, "password_file": self.password_file}


def _snapshot(point: RestorePoint) -> str:
    """Its name tells it (tasks/backup/restic.py)."""
    return point.id.rpartition("-")[2]
