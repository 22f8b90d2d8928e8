"""Runs that were carried out while the store was away, taken into it afterwards.

What lives here: where they are kept meanwhile, and taking them in. What must not: carrying
anything out. A run keeps its id and its timeline; its epoch becomes one of the store's, higher
than what the machines have obeyed, so that whatever is ordered next is not refused as stale.
"""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from orchestrator.core.events import Entry
from orchestrator.core.incident import Decision, Incident
from orchestrator.core.plan import Plan
from orchestrator.ports import Store
from orchestrator.store import open_store

log = logging.getLogger("autobot_dr.coordinator")

LIMIT = 10_000  #: runs in one such store; there is one for each `recover --direct`


def direct_store(state: Path) -> Path:
    return state / "direct.db"


def agents_of(plan: Plan) -> frozenset[str]:
    """The machines whose agents have a part in it."""
    return frozenset(
        step.agent for rung in plan.rungs for branch in rung.branches for step in branch.steps
    )


@contextmanager
def in_use(state: Path) -> Iterator[None]:
    """As long as a run is carried out on it, nobody takes it in."""
    with _lock_file(state).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def take_in(store: Store, state: Path, now: float) -> int:
    """How many runs came in. Done once: the file is kept beside, under another name."""
    if not direct_store(state).exists():
        return 0
    with _lock_file(state).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.warning("a direct run is still going on; the next start takes it in")
            return 0
        return _take_all(store, direct_store(state), now)


def _lock_file(state: Path) -> Path:
    return state / "direct.lock"


def _take_all(store: Store, path: Path, now: float) -> int:
    apart = open_store(f"sqlite:///{path}")
    runs = apart.runs(limit=LIMIT)
    for incident in reversed(runs):
        _take(store, apart, incident, now)
    apart.close()
    path.rename(path.with_name(f"direct-taken-in-{now:.0f}.db"))
    return len(runs)


def _take(store: Store, apart: Store, incident: Incident, now: float) -> None:
    store.epoch_at_least(incident.epoch)
    opened = store.open(replace(incident, epoch=0))
    line = Entry(now, "state", f"taken in, carried out with epoch {incident.epoch}")
    timeline = (*apart.timeline(incident.run), line)
    whole = replace(incident, epoch=opened.incident.epoch)
    # A crash in between leaves it at version 1, and the next start completes it.
    if store.save(Decision(whole, timeline=timeline), 1):
        log.warning("run %s came in from the time when the store was away", incident.run)
        for report in apart.reports(incident.run):
            store.add_report(report)
