"""The ports of the coordinator: what it needs from outside, with the contract of each.

What lives here: protocols and the values they exchange. What must not: implementations.
Each port has one contract suite (tests/contracts/) that all its implementations pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from orchestrator.core.events import CallHuman, Effect, Entry, Inform, Publish, StopCalls, Withdraw
from orchestrator.core.incident import Decision, Incident
from orchestrator.headways import Headways
from orchestrator.lease import Fence, Lease
from orchestrator.notebook import Notebook
from orchestrator.notify.book import CallBook
from orchestrator.restorepoints import RestorePoints
from orchestrator.slots import Slots
from orchestrator.starts import Starts
from orchestrator.windows import Windows
from tasks.contract import JobSheet, WorkReport


@dataclass(frozen=True, slots=True)
class Stored:
    """An incident as it was read, with the version that a change must name."""

    incident: Incident
    version: int


@dataclass(frozen=True, slots=True)
class PendingEffect:
    """An effect that was decided and not yet carried out."""

    id: int
    run: str
    effect: Effect


class StoreUnavailable(Exception):
    """The store could not be reached. Nothing was decided; trying again helps."""


class NotLeading(StoreUnavailable):
    """Another coordinator leads, and nothing was written; ask that one."""


class Store(Protocol):
    """Incidents, runs, steps, reports, timeline and effects, for good.

    Contract, for every implementation:
    - `open` takes an incident whose epoch is 0, gives it the next epoch (higher than any ever
      given, see core/epochs.py) and stores it at version 1. A run id that is known gives back
      what is stored and changes nothing, so a doubled request opens one run;
    - `save` writes the decision's incident, timeline and effects in one transaction, only if
      the stored version is still `expected`; False means somebody else was faster and nothing
      was written. A decision that changed nothing is not written and gives True;
    - effects come back from `pending_effects`, oldest first, until `effect_sent` names them;
    - `add_report` keeps a report as it came, for the record; the same one twice is kept once;
    - `timeline` gives the entries in the order in which they were saved;
    - what was answered as saved survives the death of the process (but for the twin's memory);
    - any implementation may be called from several threads at once.

    What is kept beside the runs has ports of its own, on the same database.
    """

    @property
    def windows(self) -> Windows: ...

    @property
    def notebook(self) -> Notebook: ...

    @property
    def calls(self) -> CallBook: ...

    @property
    def starts(self) -> Starts: ...

    @property
    def restore_points(self) -> RestorePoints: ...

    @property
    def slots(self) -> Slots: ...

    @property
    def headways(self) -> Headways: ...

    @property
    def lease(self) -> Lease: ...

    @property
    def fence(self) -> Fence:
        """What every write here is checked against, in its own transaction."""
        ...

    def open(self, incident: Incident) -> Stored: ...

    def epoch_at_least(self, epoch: int) -> None:
        """The next run's is higher than this one, which some machine is known to have obeyed."""
        ...

    def load(self, run: str) -> Stored | None: ...

    def run_of_incident(self, incident: str) -> str | None:
        """The run that cures this incident."""
        ...

    def save(self, decision: Decision, expected: int) -> bool: ...

    def runs(self, *, limit: int = 100, urgent: bool = False) -> Sequence[Incident]:
        """The newest first; `urgent`: only those whose plan is, so no backups."""
        ...

    def unfinished(self) -> Sequence[str]:
        """The ids of runs that are open, waiting or working."""
        ...

    def not_closed(self) -> Sequence[Incident]:
        """Those that are not closed, in the order of their epochs."""
        ...

    def pending_effects(self) -> Sequence[PendingEffect]: ...

    def effect_sent(self, effect: int) -> None: ...

    def add_report(self, report: WorkReport) -> None: ...

    def reports(self, run: str) -> Sequence[WorkReport]:
        """Those kept of this run, in the order in which they came."""
        ...

    def add_entry(self, run: str, entry: Entry) -> None:
        """A timeline line that decides nothing, such as progress."""
        ...

    def timeline(self, run: str) -> Sequence[Entry]: ...

    def run_for_key(self, key: str, run: str) -> str:
        """The run first stored under this idempotency key; `run` if the key is new."""
        ...

    def close(self) -> None: ...


class Publisher(Protocol):
    """Sends a branch as one chain that ends in the check. May be called twice for the same."""

    def publish(self, incident: Incident, effect: Publish) -> None: ...

    def withdraw(self, incident: Incident, effect: Withdraw) -> None:
        """Said past what an agent is at work on. What was not begun will not be."""
        ...

    def hand_out(self, sheet: JobSheet) -> None:
        """To its agent, when that is there."""
        ...

    def listening(self) -> bool:
        """Whether reports can come in now. Answers within seconds."""
        ...

    def carries(self) -> bool:
        """Whether what is ordered now will get to machines, by whatever way."""
        ...

    def stranded(self, effect: Publish) -> bool:
        """Whether what was sent goes on by nobody, so that it has to be published again."""
        ...


class Caller(Protocol):
    """Turns what a decision asks of people into calls that are due."""

    def take(self, effect: CallHuman | Inform | StopCalls, incident: Incident, number: int) -> None:
        """`number` is the effect's; the same one again changes nothing."""
        ...


class PublishFailed(Exception):
    """The broker could not be reached; the effect stays stored and is sent when it can be."""


Clock = Callable[[], float]
