"""The fleet as it is seen now: what is ill, because of what, and how sure that is.

What lives here: the values, and `look_at_fleet`. What must not: judging a single watch
(health.py), many machines at once (common.py), or deciding what is done (policy.py).

A service that is ill while something that it needs is ill counts as a consequence, and goes on
doing so until it had time to come back after its need did. That a service is down is believed
on its own when its machine answered, however unwelcome; silence alone needs a second witness.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from orchestrator.core.fleet import Fleet, Service
from orchestrator.core.health import Health, Rule, Standing, Use, Watch, as_of, forgiven, is_bad
from tasks.contract import BEAT_SECONDS, Kind, Reading


class Condition(StrEnum):
    """Where a machine stands, from its hypervisor and its agent."""

    UP = "up"  #: its agent was heard
    OFF = "off"  #: its hypervisor says so
    CUT_OFF = "cut off"  #: it runs, says its hypervisor, and nobody hears its agent
    SILENT = "silent"  #: nobody hears its agent, and no hypervisor can be asked
    UNKNOWN = "unknown"  #: not long enough to tell


class Evidence(StrEnum):
    """Whether a second witness agrees that a service is down."""

    CONFIRMED = "confirmed"
    CONTRADICTED = "contradicted"  #: somebody else is served by it: our own sight is suspect
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class Start:
    """The last start of a service's unit that was noticed."""

    invocation: str
    at: float
    healthy: bool  #: whether it was seen healthy since; then its start is over


@dataclass(frozen=True, slots=True)
class Sight:
    """All that was seen. Times are Unix seconds."""

    watches: tuple[Watch, ...]
    standings: Mapping[str, Standing]
    beats: Mapping[str, float]  #: when each machine's agent was last heard
    hearing_since: float | None  #: since when agents can be heard; None while the broker is away
    starts: Mapping[str, Start] = field(default_factory=dict)  #: by service
    grace_s: Mapping[str, float] = field(default_factory=dict)  #: how long a start may take
    #: When a run last saw each service healthy from outside; what was bad before is over.
    verified: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServiceView:
    """One service now. `because` names what it is a consequence of."""

    service: str
    machine: str
    health: Health
    reason: str
    since: float
    first_bad_at: float | None = None
    kind: Kind | None = None
    because: str = ""
    evidence: Evidence = Evidence.WAITING
    witness: str = ""  #: what the evidence is
    second: bool = False  #: whether somebody else than we gave it
    hold: str = ""  #: why nothing may be started on it now, whatever its health
    over_limit: bool = False  #: ill only by its numbers, which no restart cures
    critical: bool = True
    fallback: str = ""
    last: Reading | None = None  #: the newest answer to the check that decides

    @property
    def ill(self) -> bool:
        return self.health in (Health.DOWN, Health.DEGRADED)


@dataclass(frozen=True, slots=True)
class MachineView:
    """One machine now."""

    machine: str
    condition: Condition
    reason: str
    since: float = 0.0
    load: Standing | None = None
    heard_at: float | None = None  #: when its agent was last heard


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything now."""

    at: float
    services: Mapping[str, ServiceView]
    machines: Mapping[str, MachineView]
    own: Mapping[str, Standing]  #: what we need ourselves, by watch


DEAD_AFTER = 3 * BEAT_SECONDS  #: an agent that was not heard for so long is silent


class _Eye:
    """The sight with look-ups by service and machine."""

    def __init__(self, fleet: Fleet, sight: Sight, now: float) -> None:
        self.fleet, self.sight, self.now = fleet, sight, now
        self.by: dict[tuple[Use, str], list[Standing]] = {}
        self.rules: dict[str, Rule] = {}  # of the check that decides, by service
        for watch in sight.watches:
            standing = as_of(watch, sight.standings.get(watch.name), now)
            if watch.service in sight.verified:
                standing = forgiven(watch, standing, sight.verified[watch.service])
            self.by.setdefault((watch.use, about(watch)), []).append(standing)
            if watch.use is Use.ANSWERS:
                self.rules[watch.service] = watch.rule

    def of(self, use: Use, about: str) -> Standing | None:
        found = self.by.get((use, about))
        return found[0] if found else None

    def heard_since(self, machine: str, moment: float) -> bool:
        return self.sight.beats.get(machine, float("-inf")) > moment

    def silent_for(self, machine: str) -> float:
        """How long an agent could have been heard and was not; 0 while nobody could be."""
        if self.sight.hearing_since is None:
            return 0.0
        last = max(self.sight.beats.get(machine, float("-inf")), self.sight.hearing_since)
        return self.now - last


def about(watch: Watch) -> str:
    """What a watch is about. A machine may have the name of a service."""
    if watch.service:
        return watch.service
    return f"machine {watch.machine}" if watch.machine else watch.name


def look_at_fleet(fleet: Fleet, sight: Sight, now: float) -> Picture:
    """Every machine and service, each with what it is a consequence of."""
    eye = _Eye(fleet, sight, now)
    machines = {
        name: replace(_machine(eye, name), heard_at=sight.beats.get(name))
        for name in fleet.machines
    }
    services: dict[str, ServiceView] = {}
    for service in _needs_first(fleet):
        view = _service(eye, service, machines[service.machine])
        services[service.name] = _with_cause(eye, service, view, services)
    own = {s.watch: s for (use, _), found in eye.by.items() if use is Use.OWN for s in found}
    return Picture(now, services, machines, own)


def _needs_first(fleet: Fleet) -> list[Service]:
    done: dict[str, Service] = {}

    def visit(name: str) -> None:
        if name not in done and name in fleet.services:
            for need in fleet.services[name].depends_on:
                visit(need)
            done[name] = fleet.services[name]

    for name in fleet.services:
        visit(name)
    return list(done.values())


def _machine(eye: _Eye, name: str) -> MachineView:
    power, load = (eye.of(use, f"machine {name}") for use in (Use.POWER, Use.LOAD))
    quiet = eye.silent_for(name)
    said = power.last if power is not None and power.health is not Health.UNKNOWN else None
    if said and power and said.kind is Kind.BAD and not eye.heard_since(name, said.asked_at):
        return MachineView(name, Condition.OFF, said.reason, power.since, load)
    if name in eye.sight.beats and quiet <= DEAD_AFTER:
        return MachineView(name, Condition.UP, "its agent was heard", load=load)
    if quiet <= DEAD_AFTER:
        return MachineView(name, Condition.UNKNOWN, "its agent was not heard yet", load=load)
    since = eye.now - quiet
    silence = f"its agent was not heard for {quiet:.0f} s"
    if said and said.kind is Kind.GOOD:
        reason = f"its hypervisor says that it runs, but {silence}"
        return MachineView(name, Condition.CUT_OFF, reason, since, load)
    return MachineView(name, Condition.SILENT, silence, since, load)


def _service(eye: _Eye, service: Service, machine: MachineView) -> ServiceView:
    answers, unit = eye.of(Use.ANSWERS, service.name), eye.of(Use.UNIT, service.name)
    if answers is None:
        reason = "nothing asks for it"
        return ServiceView(service.name, service.machine, Health.UNKNOWN, reason, 0.0)
    health, reason, first_bad = answers.health, answers.reason, answers.first_bad_at
    kind, since = answers.kind, answers.since
    if looping := _restart_loop(unit):
        health, reason, kind = Health.DOWN, looping.reason, Kind.BAD
        first_bad, since = looping.first_bad_at or looping.since, looping.since
    if health is Health.HEALTHY and (less := _less_than_all(eye, service)):
        health, reason, since = Health.DEGRADED, less.reason, less.since
        first_bad = less.first_bad_at
    evidence, witness, second = _evidence(eye, service, machine, first_bad, kind)
    over = health is Health.DEGRADED and kind is Kind.GOOD
    return ServiceView(
        service.name,
        service.machine,
        health,
        reason,
        since,
        first_bad_at=first_bad,
        kind=kind,
        evidence=evidence,
        witness=witness,
        second=second,
        hold=_hold(eye, service, machine, unit, kind, over),
        over_limit=over,
        critical=_critical(eye, service, answers) if over else True,
        fallback=_fallback(eye, service),
        last=answers.last,
    )


def _less_than_all(eye: _Eye, service: Service) -> Standing | None:
    """What is wrong with a service that answers: its numbers, or one of its further checks."""
    found = [*eye.by.get((Use.LOAD, service.name), ()), *eye.by.get((Use.ALSO, service.name), ())]
    return next((each for each in found if each.health in (Health.DEGRADED, Health.DOWN)), None)


def _critical(eye: _Eye, service: Service, answers: Standing) -> bool:
    return answers.critical or any(e.critical for e in eye.by.get((Use.LOAD, service.name), ()))


def _restart_loop(unit: Standing | None) -> Standing | None:
    """The unit's standing if systemd starts it again and again, whatever it says meanwhile."""
    if unit is None or unit.last is None or unit.health is not Health.DOWN:
        return None
    return unit if unit.last.metrics.get("restarts", 0) > 0 else None


def _evidence(
    eye: _Eye, service: Service, machine: MachineView, first_bad: float | None, kind: Kind | None
) -> tuple[Evidence, str, bool]:
    """What others say since the first bad answer, in words, and whether it was others."""
    if first_bad is None:
        return Evidence.WAITING, "", False
    if machine.condition is Condition.OFF:
        return Evidence.CONFIRMED, machine.reason, True
    seen = [
        (use, standing.last)
        for use in (Use.LOCAL, Use.UNIT, Use.NEIGHBOUR)
        for standing in eye.by.get((use, service.name), ())
        if standing.last is not None and standing.last.asked_at > first_bad
    ]
    for use, reading in seen:
        if is_bad(reading.kind) and use is not Use.NEIGHBOUR:
            return Evidence.CONFIRMED, f"{reading.vantage} says: {reading.reason}", True
    for use, reading in seen:
        # That a unit is active says nothing of whether it serves.
        if use is not Use.UNIT and reading.kind is Kind.GOOD and kind is Kind.SILENT:
            return Evidence.CONTRADICTED, f"{reading.vantage} reaches it: {reading.reason}", True
    if kind in (Kind.CLOSED, Kind.BAD):
        return Evidence.CONFIRMED, "its machine answers, and it does not", False
    local = eye.of(Use.LOCAL, service.name)
    if local is None and eye.heard_since(service.machine, first_bad):
        return Evidence.CONFIRMED, "its machine's agent was heard since", True
    return Evidence.WAITING, "", False


def _hold(
    eye: _Eye,
    service: Service,
    machine: MachineView,
    unit: Standing | None,
    kind: Kind | None,
    over: bool,
) -> str:
    """Why nothing may be started on it, however ill it is (P4)."""
    if kind is Kind.BARRED:
        return "it lives and does not let us in; a restart would not change that"
    if kind is Kind.BUSY:
        return "it lives and is not ready yet; a restart would begin that anew"
    if kind is Kind.CHOSEN or (unit and unit.kind is Kind.CHOSEN):
        return "somebody chose that it must not run"
    if over:
        return "it serves, though not all of it is well; a restart does not cure that"
    start, grace = eye.sight.starts.get(service.name), eye.sight.grace_s.get(service.name, 0.0)
    alive = unit is not None and unit.kind in (Kind.GOOD, Kind.BUSY)
    if start and alive and not start.healthy and machine.condition is not Condition.OFF:
        left = start.at + grace - eye.now
        if left > 0:
            return f"it started {eye.now - start.at:.0f} s ago and may take {grace:.0f} s"
    return ""


def _fallback(eye: _Eye, service: Service) -> str:
    standing = eye.of(Use.FALLBACK, service.name)
    return standing.reason if standing and standing.health is Health.HEALTHY else ""


def _with_cause(
    eye: _Eye, service: Service, view: ServiceView, before: Mapping[str, ServiceView]
) -> ServiceView:
    """The view, as a consequence of what it needs where that is ill or only just back."""
    if not view.ill or view.over_limit:
        return view
    for need in service.depends_on:
        above = before.get(need)
        if above is None:
            continue
        standing = eye.of(Use.ANSWERS, need)
        suspect = standing is not None and standing.suspect
        if above.ill and not above.over_limit:
            return _because(view, above.because or need)
        if suspect and not above.over_limit:
            return _because(view, need)
        if _only_just_back(eye, service, above):
            return _because(view, need)
    return view


def _because(view: ServiceView, cause: str) -> ServiceView:
    return replace(view, because=cause)


def _only_just_back(eye: _Eye, service: Service, need: ServiceView) -> bool:
    """Whether the service had too little time since its need came back."""
    standing = eye.of(Use.ANSWERS, service.name)
    if standing is None or standing.first_bad_at is None:
        return False
    if need.since <= standing.first_bad_at:
        return False
    since = [each for each in standing.samples if is_bad(each.kind) and each.at > need.since]
    return len(since) < eye.rules[service.name].bad
