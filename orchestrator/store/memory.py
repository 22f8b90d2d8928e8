"""The store's in-memory twin: the same contract, forgotten at the end of the process.

What lives here: `MemoryStore`, for tests and dry runs. What must not: anything that the SQL
store does not do; both pass tests/contracts/test_store.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock

from orchestrator.core.epochs import next_epoch
from orchestrator.core.events import Entry
from orchestrator.core.incident import ENDED, Decision, Incident, State
from orchestrator.lease import Fence
from orchestrator.ports import PendingEffect, Stored
from orchestrator.store.headways import MemoryHeadways
from orchestrator.store.lease import MemoryLease
from orchestrator.store.memorycalls import MemoryCalls
from orchestrator.store.notebook import MemoryNotebook
from orchestrator.store.restorepoints import MemoryRestorePoints
from orchestrator.store.slots import MemorySlots
from orchestrator.store.starts import MemoryStarts
from orchestrator.store.windows import MemoryWindows
from tasks.contract import WorkReport


class MemoryStore:
    """A `Store` in plain containers under one lock."""

    def __init__(self) -> None:
        self.calls = MemoryCalls(self.add_entry)
        self._lock = Lock()
        self.lease, self.fence = MemoryLease(), Fence()
        self._epoch = 0
        self._runs: dict[str, Stored] = {}
        self._timeline: dict[str, list[Entry]] = {}
        self._effects: list[PendingEffect] = []
        self._sent: set[int] = set()
        self._reports: dict[WorkReport, None] = {}
        self._keys: dict[str, str] = {}
        self.windows = MemoryWindows()
        self.notebook = MemoryNotebook(self.run_of_incident)
        self.starts = MemoryStarts()
        self.restore_points = MemoryRestorePoints()
        self.slots = MemorySlots()
        self.headways = MemoryHeadways()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock:
            self.lease.demand(self.fence)
            yield

    def open(self, incident: Incident) -> Stored:
        with self._writing():
            if known := self._runs.get(incident.run):
                return known
            for each in self._runs.values():
                if each.incident.id == incident.id:
                    raise ValueError(
                        f"incident {incident.id} has run {each.incident.run} already;"
                        " a second would give its orders the same ids"
                    )
            self._epoch = next_epoch(self._epoch, incident.opened_at)
            stored = Stored(replace(incident, epoch=self._epoch), 1)
            self._runs[incident.run] = stored
            return stored

    def epoch_at_least(self, epoch: int) -> None:
        with self._writing():
            self._epoch = max(self._epoch, epoch)

    def load(self, run: str) -> Stored | None:
        with self._lock:
            return self._runs.get(run)

    def run_of_incident(self, incident: str) -> str | None:
        with self._lock:
            return next((r for r, e in self._runs.items() if e.incident.id == incident), None)

    def save(self, decision: Decision, expected: int) -> bool:
        run = decision.incident.run
        with self._writing():
            stored = self._runs.get(run)
            if stored is None or stored.version != expected:
                return False
            changed = decision.incident != stored.incident
            if not (changed or decision.effects or decision.timeline):
                return True
            self._runs[run] = Stored(decision.incident, expected + 1)
            self._timeline.setdefault(run, []).extend(decision.timeline)
            for effect in decision.effects:
                self._effects.append(PendingEffect(len(self._effects) + 1, run, effect))
            return True

    def runs(self, *, limit: int = 100, urgent: bool = False) -> Sequence[Incident]:
        with self._lock:
            newest = sorted((each.incident for each in self._runs.values()), key=lambda i: -i.epoch)
            return [each for each in newest if each.plan.urgent or not urgent][:limit]

    def unfinished(self) -> Sequence[str]:
        with self._lock:
            return [run for run, each in self._runs.items() if each.incident.state not in ENDED]

    def not_closed(self) -> Sequence[Incident]:
        with self._lock:
            known = [each.incident for each in self._runs.values()]
            return [each for each in known if each.state is not State.CLOSED]

    def pending_effects(self) -> Sequence[PendingEffect]:
        with self._lock:
            return [each for each in self._effects if each.id not in self._sent]

    def effect_sent(self, effect: int) -> None:
        with self._writing():
            self._sent.add(effect)

    def add_report(self, report: WorkReport) -> None:
        with self._writing():
            self._reports.setdefault(report)

    def reports(self, run: str) -> Sequence[WorkReport]:
        with self._lock:
            return [each for each in self._reports if each.run == run]

    def add_entry(self, run: str, entry: Entry) -> None:
        with self._writing():
            self._timeline.setdefault(run, []).append(entry)

    def timeline(self, run: str) -> Sequence[Entry]:
        with self._lock:
            return list(self._timeline.get(run, ()))

    def run_for_key(self, key: str, run: str) -> str:
        with self._writing():
            return self._keys.setdefault(key, run)

    def close(self) -> None:
        """Nothing is held that would need giving back."""
