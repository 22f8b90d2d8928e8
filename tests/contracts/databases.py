"""What the two store suites share: the databases, and incidents to put in them."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core.advance import advance
from orchestrator.core.events import Begin, Entry, Reported
from orchestrator.core.incident import Decision, Incident
from orchestrator.ports import Store, Stored
from tasks.contract import Outcome, WorkOrder, WorkReport
from tests.core import worlds


@dataclass(frozen=True)
class Database:
    """A database of the test's own. `url` is empty for the twin, which nobody else can open."""

    kind: str
    url: str


def new_incident(run: str = "run-1") -> Incident:
    return worlds.incident(worlds.plan(worlds.RESTART, worlds.REBOOT), run)


def note(stored: Stored, text: str) -> Decision:
    """A decision that only adds a line; good for races, because it may be made any time."""
    return Decision(stored.incident, timeline=(Entry(1.0, "person", text),))


def begin(store: Store, run: str = "run-1") -> tuple[Decision, Stored]:
    """A run that is open and has begun: what was decided, and what is stored."""
    opened = store.open(new_incident(run))
    decision = advance(opened.incident, Begin(), 1001.0)
    assert store.save(decision, opened.version)
    stored = store.load(run)
    assert stored is not None
    return decision, stored


def report(order: WorkOrder, outcome: Outcome = Outcome.DONE, reason: str = "seen") -> WorkReport:
    return WorkReport(
        order=order.id,
        incident=order.incident,
        run=order.run,
        epoch=order.epoch,
        rung=order.rung,
        step=order.step,
        attempt=order.attempt,
        agent=order.agent,
        outcome=outcome.value,
        reason=reason,
        detail="",
        started_at=1002.0,
        ended_at=1003.0,
    )


def reported(order: WorkOrder, reason: str = "seen") -> Reported:
    return Reported(report(order, reason=reason))


def count_up(store: Store, run: str, times: int, name: str) -> None:
    """Add `times` lines, each by its own compare-and-swap, against whoever does the same."""
    for number in range(times):
        for _ in range(10_000):
            stored = store.load(run)
            assert stored is not None
            if store.save(note(stored, f"{name} {number}"), stored.version):
                break
        else:
            raise AssertionError("lost every race")
