"""A world in which one recovery goes wrong in every way at once, by the seed.

What lives here: agents, a broker, services and people as far as the core meets them, moved by
one clock of its own. What must not: opinions on what the core should do; those are in
test_histories.py, which watches through `observe`.

Agents keep their promise (an order takes effect at most once, a chain goes on only after a
success); everything else may be lost, doubled, delayed, reordered, forged or dead.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.core.advance import advance
from orchestrator.core.events import (
    Approved,
    Begin,
    Cancelled,
    Checked,
    CheckResult,
    Event,
    Publish,
    Reported,
    Resumed,
    Tick,
)
from orchestrator.core.incident import WORKING, Decision, IllegalMove, Incident, State
from orchestrator.core.plan import Plan
from orchestrator.core.steps import orders_for
from tasks.contract import Outcome, WorkOrder, WorkReport
from tests.core import worlds

LONGEST = 200_000.0  #: seconds of the world's own time; no plan here can take as long
LAST_EVENT = 5_000


@dataclass(frozen=True)
class Faults:
    """How likely each thing is to go wrong, each time it could."""

    lost: float = 0.0
    doubled: float = 0.0
    late: float = 0.0  #: a message comes after a long while, and so out of order
    failed: float = 0.0  #: a step ends otherwise than done
    death: float = 0.0  #: an agent dies in the middle of an order
    sick: float = 0.0  #: a service does not get healthy although its steps are done
    forged: float = 0.0  #: a message that nobody sent for a reason comes along
    people: float = 0.0  #: somebody presses a button, which may be the wrong one


@dataclass
class Memory:
    """What an agent's journal knows of an order."""

    order: WorkOrder
    report: WorkReport | None = None


Observer = Callable[[Incident, Event, Decision, float], None]


class World:
    """Runs one incident from its opening to where nothing moves any more."""

    def __init__(self, plan: Plan, seed: int, faults: Faults, observe: Observer) -> None:
        self.random, self.faults, self.observe = random.Random(seed), faults, observe  # noqa: S311 a world, no secret
        self.incident = replace(worlds.incident(plan), epoch=7)
        self.now, self._count = self.incident.opened_at, 0
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self.journals: dict[str, dict[str, Memory]] = {}
        self.dead_until: dict[str, float] = {}
        self.healthy: set[str] = set()
        self.effects: list[str] = []  #: ids of orders, as they took effect

    def run(self) -> Incident:
        self.decide(Begin())
        while self._count < LAST_EVENT and self.now < LONGEST:
            if self._agenda:
                self.now, _, action = heapq.heappop(self._agenda)
                action()
            elif self.incident.state in WORKING:
                self.now += self.random.choice([1.0, 7.0, 60.0])
                self.decide(Tick())
            else:
                break
            self._sometimes()
        return self.incident

    def decide(self, event: Event) -> None:
        self._count += 1
        before = self.incident
        try:
            decision = advance(before, event, self.now)
        except IllegalMove:
            assert isinstance(event, Approved | Cancelled | Resumed), "only people are told off"
            return
        self.observe(before, event, decision, self.now)
        self.incident = decision.incident
        for effect in decision.effects:
            if isinstance(effect, Publish):
                self._send(lambda effect=effect: self._deliver(effect, 0))  # type: ignore[misc]
        if decision.incident.state is State.AWAITING_APPROVAL and decision.effects:
            self._person(Approved("somebody"))

    def _chance(self, likelihood: float) -> bool:
        return self.random.random() < likelihood

    def _at(self, moment: float, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._agenda, (moment, self._count, action))

    def _send(self, action: Callable[[], None]) -> None:
        """Through the broker: perhaps not at all, perhaps twice, perhaps much later."""
        for _ in range(2 if self._chance(self.faults.doubled) else 1):
            if not self._chance(self.faults.lost):
                slow = self.random.uniform(0, 400) if self._chance(self.faults.late) else 0.0
                self._at(self.now + self.random.uniform(0.001, 0.2) + slow, action)

    def _deliver(self, publish: Publish, index: int) -> None:
        """The next link of a chain: an order for its agent or, at the end, the check."""
        if index == len(publish.orders):
            self._look(publish.rung, publish.branch, publish.check_seconds)
            return
        order = publish.orders[index]
        if self.dead_until.get(order.agent, 0.0) > self.now:
            self._at(self.dead_until[order.agent], lambda: self._deliver(publish, index))
            return
        report = self._obey(order)
        if report is None:
            self._at(self.dead_until[order.agent], lambda: self._deliver(publish, index))
            return
        self._at(report.ended_at, lambda: self._send(lambda: self.decide(Reported(report))))
        if Outcome(report.outcome).succeeded:
            ended = max(self.now, report.ended_at)
            self._at(ended, lambda: self._send(lambda: self._deliver(publish, index + 1)))

    def _obey(self, order: WorkOrder) -> WorkReport | None:
        """The agent's report; None if it died in the middle."""
        journal = self.journals.setdefault(order.agent, {})
        known = journal.get(order.id)
        if known is not None and known.report is not None:
            return known.report
        if known is not None:
            ended = self.random.choice([Outcome.DONE, Outcome.UNKNOWN])
            known.report = self._report(order, ended, 0.0)
            return known.report
        if self.now > order.not_after:
            return self._report(order, Outcome.REFUSED, 0.0)
        journal[order.id] = Memory(order)
        self.effects.append(order.id)
        if self._chance(self.faults.death):
            self.dead_until[order.agent] = self.now + self.random.uniform(1, 500)
            return None
        bad = [Outcome.FAILED, Outcome.TIMED_OUT, Outcome.UNKNOWN, Outcome.REFUSED]
        good = [Outcome.DONE, Outcome.UNCHANGED]
        outcome = self.random.choice(bad if self._chance(self.faults.failed) else good)
        report = self._report(order, outcome, self.random.uniform(0, order.seconds))
        journal[order.id].report = report
        return report

    def _report(self, order: WorkOrder, outcome: Outcome, lasts: float) -> WorkReport:
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
            reason="simulated",
            detail="",
            started_at=self.now,
            ended_at=self.now + lasts,
        )

    def _look(self, rung: int, branch: int, seconds: float) -> None:
        """The coordinator looks from outside; services get healthy, stay sick or fall back."""
        planned = self.incident.plan.branch(rung, branch)
        for name in planned.checks:
            if self._chance(self.faults.sick):
                self.healthy.discard(name)
            else:
                self.healthy.add(name)
        results = tuple(CheckResult(n, n in self.healthy, "looked") for n in planned.checks)
        lasts = 0.01 if all(each.healthy for each in results) else seconds
        checked = Checked(rung, branch, results)
        self._at(self.now + lasts, lambda: self.decide(checked))

    def _sometimes(self) -> None:
        if self._chance(0.05):
            since = self.random.choice([0.0, None, self.now - 5, self.now - 50])
            self.decide(Tick(listening_since=since))
        if self._chance(self.faults.forged):
            self._forge()
        if self._chance(self.faults.people):
            events: list[Event] = [Approved("x"), Cancelled("x"), Resumed("x")]
            self._person(self.random.choice(events))

    def _person(self, event: Event) -> None:
        self._at(self.now + self.random.uniform(1, 600), lambda: self.decide(event))

    def _forge(self) -> None:
        """A check that nobody asked for now, or a report that looks real but for one thing."""
        rung = self.random.randrange(len(self.incident.plan.rungs))
        branch = self.random.randrange(len(self.incident.plan.rungs[rung].branches))
        if self._chance(0.3):
            self._look(rung, branch, 40.0)
        elif self._chance(0.3) or not self.incident.steps:
            lie = CheckResult("api", healthy=True, reason="forged")
            self.decide(Checked(rung, self.random.choice([-1, 99]), (lie,)))
        else:
            self.decide(Reported(self._forged_report()))

    def _forged_report(self) -> WorkReport:
        some = self.random.choice(self.incident.steps)
        order = orders_for(self.incident, [some])[0]
        honest = self._report(order, self.random.choice(list(Outcome)), 0.0)
        wrong: list[dict[str, Any]] = [
            {"run": "another"},
            {"agent": "another"},
            {"attempt": 99},
            {"step": 99},
            {"rung": 9},
        ]
        return replace(honest, **self.random.choice(wrong))
