"""Backup jobs: what all kinds have in common, and what a kind has to say.

What lives here: the job, its schedule and retention, and what plans of backups are made with.
What must not: any one kind (redisbackups.py and its like), and what came of a backup
(restorepoints.py).

A backup is a run like any other, but nothing is asked from outside afterwards: that the backup
was opened and compared is what its own step shows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from orchestrator.core.fleet import Approval, Fleet
from orchestrator.core.plan import Branch, Catalog, Fault, Plan, PlannedRung, Step
from orchestrator.core.restorepoints import RestorePoint
from tasks.contract import Json

EVERY_DAY = frozenset(range(7))


@dataclass(frozen=True, slots=True)
class Keep:
    """The newest verified of so many days, weeks and months; and all that is younger."""

    within_s: float
    daily: int
    weekly: int
    monthly: int


@dataclass(frozen=True, slots=True)
class Offsite:
    """A second restic repository, elsewhere."""

    repository: str
    password_file: str  #: on the vault


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(ABC):
    """One thing that is backed up again and again. Times are seconds.

    A kind is a subclass: it says by which steps its backups are taken, proved and restored. The
    first word of those operations is its name.
    """

    kind: ClassVar[str]

    name: str
    vault: str  #: the machine whose agent keeps the backups
    folder: str  #: on the vault
    rpo_target_s: float  #: how old the newest verified one may become
    rpo_maximum_s: float
    service: str = ""  #: what is backed up, where that is a service
    machine: str = ""  #: else the machine that it is on
    at_s: float | None = None  #: of the day, in UTC; None: only on demand, or every so often
    days: frozenset[int] = EVERY_DAY  #: 0 is Monday
    every_s: float | None = None
    keep: Keep | None = None  #: None: nothing is ever removed

    @abstractmethod
    def backup_plan(self, fleet: Fleet, catalog: Catalog) -> Plan | tuple[Fault, ...]:
        """Take a backup; a step of it proves it before it counts as done."""

    @abstractmethod
    def verify_plan(self, point: RestorePoint, fleet: Fleet, catalog: Catalog) -> Plan:
        """Prove a backup of this job once more."""

    @abstractmethod
    def restore_plan(self, point: RestorePoint, fleet: Fleet, catalog: Catalog) -> Plan: ...

    @abstractmethod
    def restore_means(self, fleet: Fleet) -> str:
        """What a restore does to what is there now, for whoever has to say yes."""

    @abstractmethod
    def doctor_plan(self, fleet: Fleet, catalog: Catalog) -> Plan | None:
        """Look for what will bite its backups; None where there is nothing to look at."""

    def scan_plan(self, _fleet: Fleet, _catalog: Catalog) -> Plan | None:
        """List the backups that are there, for a catalogue that was lost; None: it cannot."""
        return None

    @property
    def subject(self) -> str:
        return self.service or self.machine


def scenario_of(job: Job) -> str:
    return f"backup-{job.name}"


def only_steps(scenario: str, job: str, title: str, *steps: Step) -> Plan:
    """One after the other: where one fails, those after it are not done."""
    numbered = tuple(replace(each, number=number) for number, each in enumerate(steps))
    branch = Branch(job, numbered, (), (), 0.0)
    return Plan(scenario, (PlannedRung(title, Approval.AUTO, (branch,)),), urgent=False)


def bound_step(
    catalog: Catalog,
    operation: str,
    agent: str,
    machine: str,
    service: str,
    given: Mapping[str, Json],
) -> Step:
    """The operation with those of the given arguments that it takes."""
    spec = catalog.spec(operation)
    if spec is None:
        raise LookupError(f"there is no operation {operation!r}; this installation is incomplete")
    arguments = {name: each for name, each in given.items() if name in spec.arguments}
    return Step(0, operation, agent, machine, service, arguments, spec.seconds)
