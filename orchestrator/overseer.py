"""Watching the fleet: readings in, incidents opened, kept up to date, begun or held.

What lives here: the memory of what was seen, and the loop look → detect → rule, once a second.
What must not: asking anybody (watcher.py, the agents) and any decision; those are in core/.

Readings come from many threads; the loop is one. What it remembers may be lost at any time: the
incidents are in the store, and two readings later everything is known again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.coordinator import Coordinator
from orchestrator.core.common import Common, common_cause
from orchestrator.core.detection import Open, detect
from orchestrator.core.events import Begin, Event, Held
from orchestrator.core.grace import grace, noticed
from orchestrator.core.health import (
    COORDINATOR,
    Health,
    Standing,
    Use,
    Watch,
    judge,
    without_data,
)
from orchestrator.core.incident import IllegalMove, Incident, State, may_begin
from orchestrator.core.picture import look_at_fleet
from orchestrator.core.policy import (
    Allowed,
    Ask,
    FleetState,
    Forbidden,
    Rules,
    Wait,
    at_work,
    machines_of,
    may_start,
)
from orchestrator.core.sight import DEAD_AFTER, Condition, Picture, Sight, Start, silent
from tasks.contract import Reading

log = logging.getLogger("autobot_dr.overseer")

CLOSED_RUNS = 100  #: the newest that are looked through for recoveries that count


@dataclass(frozen=True, slots=True)
class View:
    """The newest look, for people."""

    picture: Picture
    common: Common | None
    standings: Mapping[str, Standing]


class Overseer:
    """One per coordinator."""

    def __init__(self, coordinator: Coordinator, watches: Sequence[Watch], rules: Rules) -> None:
        self.coordinator, self.rules = coordinator, rules
        self.watches = tuple(watches)
        self._by_name = {each.name: each for each in watches}
        self._lock = threading.Lock()
        self._standings: dict[str, Standing] = {}
        self._beats: dict[str, float] = {}
        self._starts: dict[str, Start] = {}
        self._verified: dict[str, float] = {}
        self._grace: dict[str, float] = {}
        self._hearing_since: float | None = None
        self._doors: frozenset[str] = frozenset()
        self._doubts: dict[str, tuple[float, str]] = {}
        self._started: list[tuple[str, Start, float]] = []
        self.view: View | None = None
        #: Called when something went down, so that it is looked at now and not in a second.
        self.wake: Callable[[], None] = lambda: None
        #: Which of these machines can be worked on without their agents.
        self.reachable: Callable[[Collection[str]], Collection[str]] = lambda _: ()

    def take(self, name: str, reading: Reading) -> None:
        """One more reading of a watch. A name that is not watched any more is passed over."""
        watch = self._by_name.get(name)
        if watch is None:
            return
        with self._lock:
            before = self._standings.get(name)
            standing = judge(watch, before, reading)
            self._standings[name] = standing
            if watch.use is Use.UNIT and (
                start := noticed(self._starts.get(watch.service), reading)
            ):
                self._starts[watch.service] = start
            if watch.use is Use.ANSWERS and _over_its_start(reading):
                self._healthy(watch.service, reading.asked_at)
        if standing.health is Health.DOWN and (before is None or before.health is not Health.DOWN):
            self.wake()

    def heard(self, machine: str, at: float, readings: Mapping[str, Reading]) -> None:
        """An agent was heard, with what it saw."""
        with self._lock:
            self._beats[machine] = max(at, self._beats.get(machine, at))
        for name, reading in readings.items():
            # An agent may only speak of what it was asked.
            if (watch := self._by_name.get(name)) and watch.vantage == machine:
                self.take(name, reading)

    def doubted(self, machine: str, at: float, reason: str) -> None:
        """A beat that is its agent's own was not believed."""
        with self._lock:
            self._doubts[machine] = at, reason

    def hearing(self, since: float | None) -> None:
        """Since when agents can be heard at all; None while they cannot."""
        with self._lock:
            self._hearing_since = since

    def silent_machines(self, seconds: float) -> tuple[str, ...]:
        """Those whose agents could have been heard for so long and were not."""
        now = self.coordinator.now()
        with self._lock:
            if self._hearing_since is None or now - self._hearing_since < seconds:
                return ()
            return self._quiet(now - seconds)

    def _quiet(self, since: float) -> tuple[str, ...]:
        machines = self.coordinator.protected.fleet.machines
        return tuple(name for name in machines if self._beats.get(name, 0.0) < since)

    def unheard(self, deaf_seconds: float) -> tuple[str, ...]:
        """Those that only who goes there can tell of: all, when nobody is heard for so long."""
        now = self.coordinator.now()
        with self._lock:
            if self._hearing_since is None:
                return self._quiet(now - max(deaf_seconds, DEAD_AFTER))
        return self.silent_machines(DEAD_AFTER)

    def open_doors(self, machines: Collection[str]) -> None:
        """Those of them whose SSH server answers now."""
        with self._lock:
            self._doors = frozenset(machines)

    def untold(self) -> tuple[str, ...]:
        """Watches of agents that are heard, and that say nothing of them."""
        now = self.coordinator.now()
        silent = set(self.silent_machines(DEAD_AFTER))
        with self._lock:
            mine = [e for e in self.watches if e.vantage not in (COORDINATOR, *silent)]
            if self._hearing_since is None:
                return ()
            return without_data(mine, self._standings, now)

    def picture(self) -> Picture | None:
        return self.view.picture if self.view else None

    def tick(self) -> None:
        """Look at everything, open what is new, tell what changed, begin what may begin."""
        now = self.coordinator.now()
        self._remember_starts()
        incidents = list(self.coordinator.store.not_closed())
        self._note_verified(incidents)
        picture, common = self._look(now)
        for finding in detect(
            self.coordinator.protected.fleet,
            picture,
            common,
            incidents,
            self.coordinator.protected.plans,
            self.rules,
        ):
            if isinstance(finding, Open):
                incidents.append(self.coordinator.open_failure(finding.failure))
            else:
                self._tell(finding.run, finding.event)
        self._begin(incidents, picture, common, now)

    def _look(self, now: float) -> tuple[Picture, Common | None]:
        with self._lock:
            sight = Sight(
                self.watches,
                dict(self._standings),
                dict(self._beats),
                self._hearing_since,
                dict(self._starts),
                {name: self._grace_of(name) for name in self._starts},
                dict(self._verified),
                self._doors,
                dict(self._doubts),
            )
        fleet = self.coordinator.protected.fleet
        picture = look_at_fleet(fleet, sight, now)
        common = common_cause(fleet, picture, self.rules.share, self.rules.window_s)
        self.view = View(picture, common, sight.standings)
        return picture, common

    def _grace_of(self, service: str) -> float:
        if service not in self._grace:
            known = self.coordinator.protected.fleet.services[service]
            floor = max(known.start_seconds, known.grace_s)
            self._grace[service] = grace(floor, self.coordinator.store.starts.of(service))
        return self._grace[service]

    def _healthy(self, service: str, at: float) -> None:
        """The end of a start, if one was going on. The store is not waited for here."""
        start = self._starts.get(service)
        if start is None or start.healthy or at < start.at:
            return
        self._starts[service] = Start(start.invocation, start.at, healthy=True)
        self._started.append((service, start, at - start.at))

    def _remember_starts(self) -> None:
        """What the starts since the last time took, for good."""
        with self._lock:
            started, self._started = self._started, []
        for service, start, took in started:
            self.coordinator.store.starts.add(service, start.invocation, start.at, took)
            self._grace.pop(service, None)

    def _note_verified(self, incidents: Sequence[Incident]) -> None:
        for each in incidents:
            if each.state is State.RESOLVED and each.branches and each.ended_at is not None:
                checks = each.plan.rungs[each.rung].branches[-1].required
                for service in checks:
                    before = self._verified.get(service, each.ended_at)
                    self._verified[service] = max(before, each.ended_at)

    def _tell(self, run: str, event: Event) -> None:
        try:
            self.coordinator.apply(run, event)
        except IllegalMove as late:
            log.info("%s: %s", run, late)

    def _begin(
        self, incidents: Sequence[Incident], picture: Picture, common: Common | None, now: float
    ) -> None:
        """Rule on every incident that waits, one after the other: each sees what the last did."""
        working = at_work(incidents)
        begun = self._begun(incidents)
        windows = tuple(self.coordinator.store.windows.current(now))
        for incident in incidents:
            if incident.failure is None or not may_begin(incident):
                continue
            state = FleetState(picture, common, windows, working, tuple(begun))
            ruling = may_start(incident, self.rules, state, now)
            match ruling:
                case Allowed():
                    self._tell(incident.run, Begin(self._dead(picture)))
                    working |= dict.fromkeys(machines_of(incident), incident.run)
                    begun.append((incident.failure.budget, now))
                case Ask(reason):
                    self._tell(incident.run, Begin(self._dead(picture), ask=reason))
                case Wait(reason):
                    quiet = any(each.covers(incident.failure, now) for each in windows)
                    self._tell(incident.run, Held(reason, quiet=quiet))
                case Forbidden(reason):
                    self._tell(incident.run, Held(reason, final=True))

    def _dead(self, picture: Picture) -> tuple[str, ...]:
        """The machines that a rung must not begin with: nobody there would carry it out."""
        quiet = silent(picture)
        off = {n for n, each in picture.machines.items() if each.condition is Condition.OFF}
        lost = off | (set(quiet) - set(self.reachable(quiet)))
        return tuple(name for name in picture.machines if name in lost)

    def dead_agents(self) -> tuple[str, ...]:
        """Machines whose agents are known not to answer, and that are not known to be off."""
        return silent(self.view.picture) if self.view else ()

    def agentless(self) -> tuple[str, ...]:
        """Those of them that were seen to be there; our own machine is."""
        seen = self.view.picture.machines if self.view else {}
        control = self.coordinator.protected.fleet.control
        return tuple(
            name
            for name in self.dead_agents()
            if name == control or seen[name].condition is Condition.AGENTLESS
        )

    def _begun(self, incidents: Sequence[Incident]) -> list[tuple[str, float]]:
        """Every recovery that counts against a budget, also of incidents that are closed."""
        known = {
            each.run: each for each in self.coordinator.store.runs(limit=CLOSED_RUNS, urgent=True)
        }
        known |= {each.run: each for each in incidents}
        return [
            (each.failure.budget, at)
            for each in known.values()
            if each.failure is not None
            for at in each.begun
        ]


def _over_its_start(reading: Reading) -> bool:
    """Healthy, or ill in a way that only a service has that has started."""
    return reading.healthy or reading.metrics.get("started", 0) > 0
