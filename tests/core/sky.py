"""A fleet under watch, in plain values: what the tests of watching say in a line each.

What lives here: making readings, standings and sights. What must not: checking anything.
The fleet is `worlds.SMALL`: db, then cache, then api, then web; npu needs db alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from orchestrator.core.common import Common, common_cause
from orchestrator.core.detection import Finding, Open, detect
from orchestrator.core.failure import Failure
from orchestrator.core.fleet import Fleet
from orchestrator.core.health import COORDINATOR, Limit, Rule, Standing, Use, Watch, judge
from orchestrator.core.incident import Incident
from orchestrator.core.picture import look_at_fleet
from orchestrator.core.plan import Plan
from orchestrator.core.policy import FleetState, Rules, Ruling, may_start
from orchestrator.core.sight import Picture, Sight, Start
from tasks.contract import Json, Kind, Reading
from tests.core import worlds

INTERVAL = 5.0
RULES = Rules()
PLANS: Mapping[str, Plan] = {
    name: worlds.plan(worlds.RESTART, services=(name,)) for name in worlds.SMALL.services
} | {"all": worlds.plan(worlds.ALL_MACHINES, services=worlds.EVERYTHING)}


def reading(
    kind: Kind = Kind.GOOD,
    at: float = 0.0,
    *,
    vantage: str = COORDINATOR,
    metrics: Mapping[str, float] | None = None,
    answer: Mapping[str, Json] | None = None,
) -> Reading:
    error = f"{kind} to {vantage}" if kind in (Kind.SILENT, Kind.CLOSED) else ""
    complaints = () if error or kind is Kind.GOOD else (f"{kind} to {vantage}",)
    return Reading("p", vantage, at, 0.01, answer or {}, complaints, error, kind, metrics or {})


def watch(name: str, use: Use, limits: Mapping[str, Limit] | None = None) -> Watch:
    """`db/answers`, asked by the coordinator; `db/unit`, by its machine; `m1/power`, by control."""
    about = name.partition("/")[0]
    service = worlds.SMALL.services.get(about)
    machine = service.machine if service else about
    vantage = {Use.ANSWERS: COORDINATOR, Use.POWER: "control", Use.FALLBACK: COORDINATOR}.get(
        use, machine
    )
    return Watch(
        name,
        use,
        about if service else "",
        machine,
        "p",
        {},
        vantage,
        INTERVAL,
        3.0,
        Rule(),
        limits or {},
    )


def judged(kinds: str) -> list[Standing]:
    """The standing after each of these readings, an interval apart; a letter each, see KINDS."""
    asked = watch("db/answers", Use.ANSWERS)
    standing: Standing | None = None
    found = []
    for number, letter in enumerate(kinds):
        standing = judge(asked, standing, reading(KINDS[letter], number * INTERVAL))
        found.append(standing)
    return found


KINDS = {
    "g": Kind.GOOD,
    "b": Kind.BAD,
    "c": Kind.CLOSED,
    "s": Kind.SILENT,
    "y": Kind.BUSY,
    "r": Kind.BARRED,
    "x": Kind.CHOSEN,
}


class Sky:
    """Everything is well at first; the tests spoil it. Time moves only when told."""

    def __init__(self, fleet: Fleet = worlds.SMALL, now: float = 1000.0) -> None:
        self.fleet, self.now = fleet, now
        self.watches: dict[str, Watch] = {}
        self.kinds: dict[str, Kind] = {}  # what each watch answers from now on
        self.metrics: dict[str, Mapping[str, float]] = {}
        self.standings: dict[str, Standing] = {}
        self.beats = dict.fromkeys(fleet.machines, now)
        self.doors: set[str] = set()  # machines whose SSH server answers
        self.doubts: dict[str, tuple[float, str]] = {}  # when a beat was last not believed, and why
        self.mute: set[str] = set()  # machines whose agents are not heard
        self.hearing_since: float | None = 0.0
        self.starts: dict[str, Start] = {}
        self.grace_s: dict[str, float] = {}
        self.verified: dict[str, float] = {}
        for service in fleet.services:
            for use in (Use.ANSWERS, Use.LOCAL, Use.UNIT):
                self.add(f"{service}/{use}", use)
        for machine in fleet.machines:
            if machine != fleet.control:
                self.add(f"{machine}/power", Use.POWER)

    def add(
        self,
        name: str,
        use: Use,
        limits: Mapping[str, Limit] | None = None,
        vantage: str = "",
    ) -> None:
        made = watch(name, use, limits)
        self.watches[name] = replace(made, vantage=vantage or made.vantage)
        self.kinds[name] = Kind.GOOD
        self._ask(name)

    def _ask(self, name: str) -> None:
        asked = self.watches[name]
        metrics = self.metrics.get(name)
        said = reading(self.kinds[name], self.now, vantage=asked.vantage, metrics=metrics)
        self.standings[name] = judge(asked, self.standings.get(name), said)

    def go(self, times: int = 1) -> Sky:
        """So many intervals later: everything was asked again by whoever can be heard."""
        for _ in range(times):
            self.now += INTERVAL
            for name, asked in self.watches.items():
                if asked.vantage not in self.mute:
                    self._ask(name)
            for machine in set(self.beats) - self.mute:
                self.beats[machine] = self.now
        return self

    def down(self, service: str, kind: Kind = Kind.CLOSED, times: int = 2) -> Sky:
        """The service fails, and its unit with it."""
        for use in (Use.ANSWERS, Use.LOCAL):
            self.kinds[f"{service}/{use}"] = kind
        self.kinds[f"{service}/unit"] = Kind.BAD
        return self.go(times)

    def lose(self, *machines: str, power: Kind = Kind.BAD, times: int = 2) -> Sky:
        """No answer from these machines and none from their agents; `power` says the rest."""
        self.mute |= set(machines)
        for service in self.fleet.services.values():
            if service.machine in machines:
                self.kinds[f"{service.name}/answers"] = Kind.SILENT
        for machine in machines:
            self.kinds[f"{machine}/power"] = power
        return self.go(times)

    def sight(self) -> Sight:
        return Sight(
            tuple(self.watches.values()),
            self.standings,
            self.beats,
            self.hearing_since,
            self.starts,
            self.grace_s,
            self.verified,
            frozenset(self.doors),
            dict(self.doubts),
        )

    def picture(self) -> Picture:
        return look_at_fleet(self.fleet, self.sight(), self.now)

    def common(self) -> Common | None:
        return common_cause(self.fleet, self.picture(), RULES.share, RULES.window_s)

    def findings(self, *incidents: Incident, rules: Rules = RULES) -> tuple[Finding, ...]:
        return detect(self.fleet, self.picture(), self.common(), incidents, PLANS, rules)

    def opened(self, *incidents: Incident) -> list[Failure]:
        return [each.failure for each in self.findings(*incidents) if isinstance(each, Open)]

    def ruling(self, incident: Incident, rules: Rules = RULES, **state: Any) -> Ruling:
        seen = FleetState(self.picture(), self.common(), **state)
        return may_start(incident, rules, seen, self.now)

    def incident(self, cause: str = "") -> Incident:
        """The one that is opened now, as it is stored."""
        [failure] = [each for each in self.opened() if cause in ("", each.cause)]
        plan = PLANS.get(failure.scenario) or Plan("", ())
        return replace(
            worlds.incident(plan, f"run-{failure.cause}", self.now),
            epoch=1,
            failure=failure,
            reason=failure.reason,
        )
