"""The fleet as it is seen now: what is ill, and because of what.

What lives here: `look_at_fleet`, machines, and what is a consequence of what. What must not: a
service for itself (seeing.py), many machines at once (common.py), what is done (policy.py).

A service that is ill while something that it needs is ill counts as a consequence, and goes on
doing so until it had time to come back after its need did.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from orchestrator.core.fleet import Fleet, Service
from orchestrator.core.health import Health, Use, is_bad
from orchestrator.core.seeing import see_service
from orchestrator.core.sight import (
    DEAD_AFTER,
    Condition,
    Eye,
    MachineView,
    Picture,
    ServiceView,
    Sight,
)
from tasks.contract import Kind


def look_at_fleet(fleet: Fleet, sight: Sight, now: float) -> Picture:
    """Every machine and service, each with what it is a consequence of."""
    eye = Eye(fleet, sight, now)
    machines = {
        name: replace(_machine(eye, name), heard_at=sight.beats.get(name))
        for name in fleet.machines
    }
    services: dict[str, ServiceView] = {}
    for service in _needs_first(fleet):
        view = see_service(eye, service, machines[service.machine])
        services[service.name] = _with_cause(eye, service, view, services)
    own = {s.watch: s for (use, _), found in eye.by.items() if use is Use.OWN for s in found}
    needs = {e.name: e.service for e in sight.watches if e.use is Use.OWN and e.service}
    return Picture(now, services, machines, own, needs)


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


def _machine(eye: Eye, name: str) -> MachineView:
    power, load = (eye.of(use, f"machine {name}") for use in (Use.POWER, Use.LOAD))
    quiet = eye.silent_for(name)
    said = power.last if power is not None and power.health is not Health.UNKNOWN else None
    if said and power and said.kind is Kind.BAD and not eye.heard_since(name, said.asked_at):
        return MachineView(name, Condition.OFF, said.reason, power.first_bad_at or 0.0, load)
    if name in eye.sight.beats and quiet <= DEAD_AFTER:
        return MachineView(name, Condition.UP, "its agent was heard", load=load)
    if quiet <= DEAD_AFTER:
        return MachineView(name, Condition.UNKNOWN, "its agent was not heard yet", load=load)
    since = eye.now - quiet
    silence = f"its agent was not heard for {quiet:.0f} s"
    at, doubt = eye.sight.doubts.get(name, (float("-inf"), ""))
    if eye.now - at <= DEAD_AFTER:
        silence = f"its agent is not believed for {quiet:.0f} s now: {doubt}"
    if name in eye.sight.doors:
        reason = f"its SSH server answers, but {silence}"
        return MachineView(name, Condition.AGENTLESS, reason, since, load)
    if said and said.kind is Kind.GOOD:
        reason = f"its hypervisor says that it runs, but {silence}{_neither(eye, name, since)}"
        return MachineView(name, Condition.CUT_OFF, reason, since, load)
    return MachineView(name, Condition.SILENT, silence, since, load)


def _neither(eye: Eye, machine: str, since: float) -> str:
    """The neighbours that do not reach it either."""
    lasts = (
        standing.last
        for service in eye.fleet.services_on(machine)
        for standing in eye.by.get((Use.NEIGHBOUR, service.name), ())
    )
    names = {e.vantage for e in lasts if e and e.asked_at > since and is_bad(e.kind)}
    return f", and {', '.join(sorted(names))} cannot reach it either" if names else ""


def _with_cause(
    eye: Eye, service: Service, view: ServiceView, before: Mapping[str, ServiceView]
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


def _only_just_back(eye: Eye, service: Service, need: ServiceView) -> bool:
    """Whether the service had too little time since its need came back."""
    standing = eye.of(Use.ANSWERS, service.name)
    if standing is None or standing.first_bad_at is None:
        return False
    if need.since <= standing.first_bad_at:
        return False
    since = [each for each in standing.samples if is_bad(each.kind) and each.at > need.since]
    return len(since) < eye.deciding[service.name].rule.bad
