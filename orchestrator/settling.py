"""What a store that comes from a backup still believes to be going on is brought to an end.

What lives here: closing those runs. What must not: the backup itself (statebackup.py). What has
become of them since nobody here knows: carried on, they would do again what was done. What is
still ill the watcher finds, and opens anew.
"""

from __future__ import annotations

from dataclasses import replace

from orchestrator.core.advance import advance
from orchestrator.core.events import Cancelled, Entry, Settled
from orchestrator.core.incident import ENDED
from orchestrator.ports import Store


def settle(store: Store, taken: str, now: float) -> list[str]:
    """Close what was unfinished, send nothing that was unsent; gives the runs."""
    for pending in store.pending_effects():
        store.effect_sent(pending.id)
    closed = []
    for run in store.unfinished():
        stored = store.load(run)
        if stored is None or stored.incident.state in ENDED:
            continue
        reason = f"the state is that of {taken}, restored; what became of this is not known"
        ended = advance(stored.incident, Cancelled("state restore"), now)
        after = advance(ended.incident, Settled(reason), now)
        lines = (*ended.timeline, *after.timeline, Entry(now, "state", reason))
        # Nobody is told or called for it: that was done when it was time, or is done anew.
        if store.save(replace(after, effects=(), timeline=lines), stored.version):
            closed.append(run)
        store.calls.stop([each.id for each in store.calls.of_run(run)], reason, now)
    return closed
