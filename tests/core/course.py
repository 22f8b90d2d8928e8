"""One recovery led by hand: what the tests of the incident say in a line each.

What lives here: making events for what is out at the moment. What must not: checking anything.
"""

from __future__ import annotations

from dataclasses import replace

from orchestrator.core.advance import advance
from orchestrator.core.events import Begin, Checked, CheckResult, Event, Publish, Reported, Tick
from orchestrator.core.incident import Decision, State
from orchestrator.core.plan import Plan
from orchestrator.core.steps import StepRecord, orders_for
from tasks.contract import Outcome, WorkReport
from tests.core import worlds


class Course:
    """The incident so far. Each event comes a second after the one before."""

    def __init__(self, plan: Plan, *, begun: bool = True) -> None:
        self.incident = replace(worlds.incident(plan), epoch=1)
        self.now = self.incident.opened_at
        self.last = Decision(self.incident)
        if begun:
            self.do(Begin())

    def state(self) -> State:
        return self.incident.state

    @property
    def published(self) -> list[Publish]:
        return [each for each in self.last.effects if isinstance(each, Publish)]

    def do(self, event: Event, *, after: float = 1.0) -> Decision:
        self.now += after
        self.last = advance(self.incident, event, self.now)
        self.incident = self.last.incident
        return self.last

    def step(self, number: int) -> StepRecord:
        """The newest attempt at a step of this rung."""
        here = [
            e for e in self.incident.steps if (e.rung, e.number) == (self.incident.rung, number)
        ]
        return here[-1]

    def report(self, number: int, outcome: Outcome = Outcome.DONE) -> Decision:
        return self.do(Reported(self.report_on(self.step(number), outcome)))

    def report_on(self, step: StepRecord, outcome: Outcome = Outcome.DONE) -> WorkReport:
        order = orders_for(self.incident, [step])[0]
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
            reason="told",
            detail="evidence",
            started_at=self.now,
            ended_at=self.now,
        )

    def check(self, branch: int = 0, *ill: str) -> Decision:
        """A look at a branch of this rung; `ill` are the services that are not healthy."""
        planned = self.incident.plan.branch(self.incident.rung, branch)
        results = [CheckResult(name, name not in ill, "looked") for name in planned.checks]
        return self.do(Checked(self.incident.rung, branch, tuple(results)))

    def silence(self) -> Decision:
        """Time passes until everything that is out is overdue."""
        return self.do(Tick(), after=10_000.0)

    def through(self, branch: int = 0) -> Decision:
        """A branch of this rung as it should go."""
        planned = self.incident.plan.branch(self.incident.rung, branch)
        for step in planned.steps:
            self.report(step.number)
        return self.check(branch)
