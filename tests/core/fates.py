"""A small fleet with a fate of its own, watched and recovered by the core: pure, seeded, fast.

What lives here: what is really the case, what the watches therefore answer, and the loop that
the overseer runs on real things. What must not: checking anything (test_fates.py).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.core.advance import advance
from orchestrator.core.detection import Open
from orchestrator.core.events import Begin, Checked, CheckResult, Event, Held, Publish, Reported
from orchestrator.core.health import Use
from orchestrator.core.incident import WORKING, Incident, State, may_begin
from orchestrator.core.plan import Plan
from orchestrator.core.policy import (
    Allowed,
    Ask,
    FleetState,
    Forbidden,
    Wait,
    Window,
    machines_of,
    may_start,
)
from orchestrator.core.sight import Condition
from tasks.contract import Kind, Outcome, WorkOrder, WorkReport
from tests.core.sky import PLANS, RULES, Sky

#: What a service's own state makes it answer, and whether a restart cures it.
ANSWERS = {
    "up": Kind.GOOD,
    "crashed": Kind.CLOSED,
    "hung": Kind.SILENT,
    "broken": Kind.CLOSED,  # comes down again at once
    "loading": Kind.BUSY,
    "barred": Kind.BARRED,
}
CURED = ("crashed", "hung")


@dataclass(frozen=True)
class Effect:
    """Something that was really done: what, to which service, and what was true then."""

    at: float
    operation: str
    service: str
    state: str
    seen_wrongly: bool  #: the coordinator was cut off from a fleet that was well


class Fate:
    """One history. `chance` decides what fails and when; `step` is one interval."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 (repeatable, not secret)
        self.sky = Sky()
        self.state = dict.fromkeys(self.sky.fleet.services, "up")
        self.until: dict[str, float] = {}
        self.off: set[str] = set()
        self.cut: set[str] = set()  # machines whose cable is out
        self.blind = False  # the coordinator's own cable is out
        self.window: Window | None = None
        self.incidents: dict[str, Incident] = {}
        self.effects: list[Effect] = []
        self.out: list[tuple[float, Incident, Publish]] = []
        self.opened = 0

    @property
    def now(self) -> float:
        return self.sky.now

    def incident(self, run: str) -> Incident:
        return self.incidents[run]

    def serves(self, name: str) -> bool:
        """Whether its users are served, its needs included."""
        service = self.sky.fleet.services[name]
        here = self.state[name] == "up" and service.machine not in self.off
        return here and all(self.serves(need) for need in service.depends_on)

    def spoil(self) -> None:
        """Perhaps something fails now."""
        kind = self.chance.choice(
            ["service", "service", "off", "cut", "blind", "all off", "window", "nothing"]
        )
        services = list(self.state)
        name = self.chance.choice(services)
        machine = self.sky.fleet.services[name].machine
        match kind:
            case "service":
                self.state[name] = self.chance.choice([each for each in ANSWERS if each != "up"])
                self.until[name] = self.now + self.chance.uniform(20, 400)
            case "off":
                self.off.add(machine)
            case "cut":
                self.cut.add(machine)
            case "blind":
                self.blind = True
            case "all off":
                self.off |= {each.machine for each in self.sky.fleet.services.values()}
            case "window":
                self.window = Window("w", name, self.now, self.now + 120, "alice", "work")

    def heal(self) -> None:
        """Everything is well from now on, whoever did it."""
        self.state = dict.fromkeys(self.state, "up")
        self.off.clear()
        self.cut.clear()
        self.blind, self.window = False, None

    def step(self) -> None:
        for name, ends in list(self.until.items()):
            if self.now >= ends and self.state[name] in ("loading", "barred"):
                self.state[name] = "up"
        self._ask()
        self._carry_out()
        self._oversee()

    def _ask(self) -> None:
        fleet = self.sky.fleet
        self.sky.mute = self._away()
        for name, service in fleet.services.items():
            own = self._own_answer(name)
            far = Kind.SILENT if service.machine in self.sky.mute else own
            self.sky.kinds[f"{name}/{Use.ANSWERS}"] = far
            self.sky.kinds[f"{name}/{Use.LOCAL}"] = own
            gone = self.state[name] in ("crashed", "broken")
            self.sky.kinds[f"{name}/{Use.UNIT}"] = Kind.BAD if gone else Kind.GOOD
            power = Kind.BAD if service.machine in self.off else Kind.GOOD
            self.sky.kinds[f"{service.machine}/{Use.POWER}"] = power
        self.sky.go()

    def _away(self) -> set[str]:
        """The machines that the coordinator cannot reach."""
        fleet = self.sky.fleet
        others = {each for each in fleet.machines if each != fleet.control}
        return others if self.blind else self.off | self.cut

    def _own_answer(self, name: str) -> Kind:
        if self.state[name] == "up" and not self.serves(name):
            return Kind.BAD
        return ANSWERS[self.state[name]]

    def _oversee(self) -> None:
        living = [each for each in self.incidents.values() if each.state is not State.CLOSED]
        for finding in self.sky.findings(*living):
            if isinstance(finding, Open):
                self.opened += 1
                plan = PLANS.get(finding.failure.scenario) or Plan("", ())
                run = f"run-{self.opened}"
                self.incidents[run] = Incident(
                    f"inc-{run}", run, self.opened, plan.scenario, finding.failure.reason, plan,
                    self.now, failure=finding.failure,
                )  # fmt: skip
            else:
                self.do(finding.run, finding.event)
        for run, incident in list(self.incidents.items()):
            if may_begin(incident):
                self._rule(run)

    def _rule(self, run: str) -> None:
        living = [each for each in self.incidents.values() if each.state in WORKING]
        picture = self.sky.picture()
        state = FleetState(
            picture,
            self.sky.common(),
            (self.window,) if self.window else (),
            {m: each.run for each in living for m in machines_of(each)},
            tuple(
                (each.failure.budget, at)
                for each in self.incidents.values()
                if each.failure
                for at in each.begun
            ),
        )
        away = (Condition.OFF, Condition.CUT_OFF, Condition.SILENT)
        dead = tuple(name for name, each in picture.machines.items() if each.condition in away)
        match may_start(self.incidents[run], RULES, state, self.now):
            case Allowed():
                self.do(run, Begin(dead))
            case Ask(reason):
                self.do(run, Begin(dead, reason))
            case Wait(reason):
                self.do(run, Held(reason))
            case Forbidden(reason):
                self.do(run, Held(reason, final=True))

    def do(self, run: str, event: Event) -> None:
        decision = advance(self.incidents[run], event, self.now)
        self.incidents[run] = decision.incident
        for effect in decision.effects:
            if isinstance(effect, Publish):
                self.out.append((self.now + 5, decision.incident, effect))

    def _carry_out(self) -> None:
        """What was published an interval ago is done, reported, and looked at from outside."""
        due = [each for each in self.out if each[0] <= self.now]
        self.out = [each for each in self.out if each[0] > self.now]
        for _, incident, publish in due:
            for order in publish.orders:
                outcome = self._execute(order)
                self.do(incident.run, Reported(_report(order, outcome, self.now)))
                if not outcome.succeeded:
                    break
            planned = incident.plan.branch(publish.rung, publish.branch)
            looked = tuple(CheckResult(n, self._reached(n), "looked") for n in planned.checks)
            self.do(incident.run, Checked(publish.rung, publish.branch, looked))

    def _reached(self, name: str) -> bool:
        return self.serves(name) and self.sky.fleet.services[name].machine not in self._away()

    def _execute(self, order: WorkOrder) -> Outcome:
        if order.agent in self._away():
            return Outcome.FAILED
        if order.operation == "vm.start":
            self._note(order, order.machine)
            self.off.discard(order.machine)
        if order.operation == "service.restart":
            self._note(order, order.service)
            if self.state[order.service] in CURED:
                self.state[order.service] = "up"
            return Outcome.DONE if self.state[order.service] == "up" else Outcome.FAILED
        return Outcome.DONE

    def _note(self, order: WorkOrder, name: str) -> None:
        state = self.state.get(name, "off" if name in self.off else "on")
        well = all(each == "up" for each in self.state.values()) and not self.off
        self.effects.append(Effect(self.now, order.operation, name, state, self.blind and well))


def _report(order: WorkOrder, outcome: Outcome, now: float) -> WorkReport:
    return WorkReport(
        order.id, order.incident, order.run, order.epoch, order.rung, order.step, order.attempt,
        order.agent, outcome.value, "told", "", now, now,
    )  # fmt: skip


def lived(seed: int, each_step: Callable[[Fate], None], steps: int = 60) -> Fate:
    """A history with some failures, then peace for long enough to settle."""
    fate = Fate(seed)
    for _ in range(steps):
        if fate.chance.random() < 0.08:
            fate.spoil()
        fate.step()
        each_step(fate)
    fate.heal()
    for _ in range(30):
        fate.step()
        each_step(fate)
    return fate
