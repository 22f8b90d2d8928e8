"""One service as its watches see it together: how it is, how sure that is, what must not be done.

What lives here: `see_service`. What must not: other services (picture.py) and what is done about it
(policy.py). That a service is down is believed on its own when its machine answered, however
unwelcome; silence alone needs a second witness.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from orchestrator.core.fleet import Service
from orchestrator.core.health import Health, Standing, Use, is_bad
from orchestrator.core.sight import Condition, Evidence, Eye, MachineView, ServiceView
from tasks.contract import BEAT_SECONDS, Kind


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What the watches together say of a service."""

    health: Health
    reason: str
    since: float
    first_bad_at: float | None
    kind: Kind | None
    over_limit: bool = False


def see_service(eye: Eye, service: Service, machine: MachineView) -> ServiceView:
    """One service, for itself: what it is a consequence of is found afterwards."""
    answers, unit = eye.of(Use.ANSWERS, service.name), eye.of(Use.UNIT, service.name)
    if answers is None:
        reason = "nothing asks for it"
        return ServiceView(service.name, service.machine, Health.UNKNOWN, reason, 0.0)
    found = _verdict(eye, service, answers, unit)
    evidence, witness, second = _evidence(eye, service, machine, found.first_bad_at, found.kind)
    return ServiceView(
        service.name,
        service.machine,
        found.health,
        found.reason,
        found.since,
        first_bad_at=found.first_bad_at,
        kind=found.kind,
        evidence=evidence,
        witness=witness,
        second=second,
        hold=_hold(eye, service, machine, unit, found),
        over_limit=found.over_limit,
        critical=_critical(eye, service, answers) if found.over_limit else True,
        fallback=_fallback(eye, service),
        last=answers.last,
    )


def _verdict(eye: Eye, service: Service, answers: Standing, unit: Standing | None) -> _Verdict:
    if looping := _restart_loop(unit):
        began = looping.first_bad_at or looping.since
        return _Verdict(Health.DOWN, looping.reason, looping.since, began, Kind.BAD)
    said = _Verdict(
        answers.health, answers.reason, answers.since, answers.first_bad_at, answers.kind
    )
    if answers.health is Health.HEALTHY and (less := _less_than_all(eye, service)):
        return _Verdict(
            Health.DEGRADED, less.reason, less.since, less.first_bad_at, Kind.GOOD, over_limit=True
        )
    if answers.health is Health.DEGRADED and answers.kind is Kind.GOOD:
        if any(each.over for each in answers.samples):
            return replace(said, over_limit=True)
        # It answered well once after it was busy; that has to show twice.
        return replace(said, kind=Kind.BUSY)
    return said


def _less_than_all(eye: Eye, service: Service) -> Standing | None:
    """What is wrong with a service that answers: its numbers, or one of its further checks."""
    found = [*eye.by.get((Use.LOAD, service.name), ()), *eye.by.get((Use.ALSO, service.name), ())]
    return next((each for each in found if each.health in (Health.DEGRADED, Health.DOWN)), None)


def _critical(eye: Eye, service: Service, answers: Standing) -> bool:
    return answers.critical or any(e.critical for e in eye.by.get((Use.LOAD, service.name), ()))


def _restart_loop(unit: Standing | None) -> Standing | None:
    """The unit's standing if systemd starts it again and again, whatever it says meanwhile."""
    if unit is None or unit.last is None or unit.health is not Health.DOWN:
        return None
    return unit if unit.last.metrics.get("restarts", 0) > 0 else None


def _evidence(
    eye: Eye, service: Service, machine: MachineView, first_bad: float | None, kind: Kind | None
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
    # The first silence is known only when its time is up; what was well before that says nothing.
    silent_since = first_bad + eye.deciding[service.name].timeout_s
    # That a unit is active says nothing of whether it serves. That a neighbour's connection is
    # accepted says that the machine is there, which is news only while we hear nothing of it.
    quiet = eye.silent_for(service.machine) > 2 * BEAT_SECONDS
    witnesses = (Use.LOCAL, Use.NEIGHBOUR) if quiet else (Use.LOCAL,)
    for use, reading in seen:
        reaches = use in witnesses and reading.kind is Kind.GOOD
        if reaches and kind is Kind.SILENT and reading.asked_at > silent_since:
            return Evidence.CONTRADICTED, f"{reading.vantage} reaches it: {reading.reason}", True
    if kind in (Kind.CLOSED, Kind.BAD):
        return Evidence.CONFIRMED, "its machine answers, and it does not", False
    local = eye.of(Use.LOCAL, service.name)
    if local is None and eye.heard_since(service.machine, first_bad):
        return Evidence.CONFIRMED, "its machine's agent was heard since", True
    return Evidence.WAITING, "", False


def _hold(
    eye: Eye,
    service: Service,
    machine: MachineView,
    unit: Standing | None,
    found: _Verdict,
) -> str:
    """Why nothing may be started on it, however ill it is (P4)."""
    if found.kind is Kind.BARRED:
        return "it lives and does not let us in; a restart would not change that"
    if found.kind is Kind.BUSY:
        return "it lives and is not ready yet; a restart would begin that anew"
    if found.kind is Kind.CHOSEN or (unit and unit.kind is Kind.CHOSEN):
        return "somebody chose that it must not run"
    if found.health is Health.DOWN and found.kind is Kind.GOOD:
        return "its last answer was good; one more, and it is back"
    if found.over_limit:
        return "it serves, though not all of it is well; a restart does not cure that"
    start, grace = eye.sight.starts.get(service.name), eye.sight.grace_s.get(service.name, 0.0)
    alive = unit is not None and unit.kind in (Kind.GOOD, Kind.BUSY)
    if start and alive and not start.healthy and machine.condition is not Condition.OFF:
        left = start.at + grace - eye.now
        if left > 0:
            return f"it started {eye.now - start.at:.0f} s ago and may take {grace:.0f} s"
    return ""


def _fallback(eye: Eye, service: Service) -> str:
    standing = eye.of(Use.FALLBACK, service.name)
    if standing is None or standing.health is not Health.HEALTHY:
        return ""
    title = service.fallback.title if service.fallback else ""
    return f"{title}: {standing.reason}" if title else standing.reason
