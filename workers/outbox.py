"""Reports that wait in an agent's journal, on their way as soon as the broker is there again.

What lives here: sending them through a connection that waits for nothing. What must not: reports
of the step that is just over, which wait for the broker (agent.py). One that is sent twice, from
here and from there, is taken once.
"""

from __future__ import annotations

from pathlib import Path

from workers.broker import COORDINATOR_QUEUE
from workers.executor import Identity
from workers.journal import Journal
from workers.ledger import JOURNAL
from workers.voice import Voice


def mark(identity: Identity) -> Path:
    """There while something waits that the agent cannot know of by itself."""
    return identity.state / "undelivered"


def send_by(voice: Voice, identity: Identity) -> int:
    """How many went; raises Unheard at the first that does not."""
    journal, count = Journal(identity.state / JOURNAL), 0
    try:
        for report in journal.unsent():
            voice.put("orchestrator.report", COORDINATOR_QUEUE, report=report.to_wire())
            journal.sent(report.order)
            count += 1
        mark(identity).unlink(missing_ok=True)
    finally:
        journal.close()
    return count
