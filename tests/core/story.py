"""An incident with all that is stored of it, told one event at a time, and its review.

What lives here: making it. What must not: checking anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from orchestrator.core.advance import advance
from orchestrator.core.events import Checked, CheckResult, Entry, Event, Publish, Reported
from orchestrator.core.fleet import Objectives
from orchestrator.core.lessons import Finding, FollowUp
from orchestrator.core.plan import Plan
from orchestrator.core.review import Records, Review, review
from tasks.contract import Outcome, WorkOrder, WorkReport
from tests.core import worlds

GOALS = Objectives(30.0, 60.0, 3600.0, 14400.0)
DIAGNOSES = frozenset({"service.status", "journal.tail"})
WELL = (CheckResult("api", healthy=True, reason="200"),)


class Story:
    """An incident with all that is stored of it, told one event at a time."""

    def __init__(self, plan: Plan, *, watched: bool = True) -> None:
        opened = worlds.incident(plan)
        self.incident = replace(opened, failure=worlds.FAILURE) if watched else opened
        self.timeline: list[Entry] = []
        self.reports: list[WorkReport] = []
        self.out: list[WorkOrder] = []

    def then(self, event: Event, at: float) -> None:
        decision = advance(self.incident, event, at)
        self.incident = decision.incident
        self.timeline += decision.timeline
        for each in decision.effects:
            if isinstance(each, Publish):
                self.out += each.orders

    def report(
        self, began: float, ended: float, outcome: Outcome = Outcome.DONE, detail: str = ""
    ) -> None:
        order = self.out.pop(0)
        said = WorkReport(
            order=order.id,
            incident=order.incident,
            run=order.run,
            epoch=order.epoch,
            rung=order.rung,
            step=order.step,
            attempt=order.attempt,
            agent=order.agent,
            outcome=outcome.value,
            reason=f"it {outcome.value}",
            detail=detail,
            started_at=began,
            ended_at=ended,
        )
        self.reports.append(said)
        self.then(Reported(said), ended)

    def check(self, at: float, results: Sequence[CheckResult] = WELL) -> None:
        self.then(Checked(self.incident.rung, 0, tuple(results)), at)

    def review(
        self, findings: Sequence[Finding] = (), follow_ups: Sequence[FollowUp] = ()
    ) -> Review:
        records = Records(self.incident, self.timeline, self.reports, (), findings, follow_ups)
        return review(records, DIAGNOSES, GOALS)
