"""Obeying an order in a process of an agent's pool, and telling the coordinator how it ended.

What lives here: that, with the journal and the executor of this process. What must not: whether
and how an order is carried out (guard.py, executor.py), and the agent's start-up (agent.py).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from celery import Celery

from tasks.contract import Json, Outcome, WorkReport
from tasks.host import LocalHost
from workers.broker import COORDINATOR_QUEUE
from workers.executor import Executor, Identity
from workers.journal import Journal
from workers.ledger import JOURNAL
from workers.outbox import mark
from workers.telling import Teller

log = logging.getLogger("autobot_dr.agent")

Rest = Sequence[Mapping[str, Json]] | None  #: of a chain, the next one last


class StepEnded(Exception):
    """The step did not succeed, so the rest of its chain must not run."""


class Obeying:
    """One for each process: SQLite must not be carried over a fork."""

    def __init__(self, app: Celery, identity: Identity) -> None:
        self.app, self.identity = app, identity
        self._unreported: list[WorkReport] = []

    @cached_property
    def journal(self) -> Journal:
        return Journal(self.identity.state / JOURNAL)

    @cached_property
    def _executor(self) -> Executor:
        teller = Teller(self.app, self.identity.machine)
        return Executor(self.identity, self.journal, LocalHost(), teller.tell, teller.show)

    def obey(self, order: Mapping[str, Json], *, sent_as: str, rest: Rest) -> None:
        report = self._executor.handle(order, sent_as=sent_as)
        self._unreported.append(report)
        log.info("%s %s: %s", report.order, report.outcome, report.reason)
        if _checked_next(rest):
            self.tell_outcome()
        if not Outcome(report.outcome).succeeded:
            raise StepEnded(f"{report.outcome}: {report.reason}")

    def tell_outcome(self, *_: Any) -> None:
        """Send the report. After the next order, so that no machine waits for it: dying in
        between loses nothing, for the order comes back and its report is in the journal."""
        while self._unreported:
            report = self._unreported.pop()
            try:
                self._send(report)
            except Exception:
                # A broker that is full or read-only says no instead of being away.
                log.exception("%s: its report was not taken; the next beat sends it", report.order)
                mark(self.identity).touch()
                continue
            self.journal.sent(report.order)

    def _send(self, report: WorkReport) -> None:
        """To the coordinator's durable queue; a broker that is away is waited for."""
        self.app.send_task(
            "orchestrator.report",
            kwargs={"report": report.to_wire()},
            queue=COORDINATOR_QUEUE,
            retry=True,
        )


def _checked_next(rest: Rest) -> bool:
    """Whether the coordinator's check comes next; it must not overtake the report."""
    return not rest or str(rest[-1]["task"]).startswith("orchestrator.")
