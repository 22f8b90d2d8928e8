"""The state of every service and machine as programs see it, from the watcher or from one look.

What lives here: the shapes, and pure functions that make them. What must not: looking, and
verdicts over time; the watcher's picture has those (core/picture.py).

One look cannot tell a service that is down from one that cannot be reached, so without a
picture a service that gave no answer is `unknown`, and the reason says what happened.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from typing_extensions import TypedDict

from orchestrator.core.detection import brought_back
from orchestrator.core.fleet import Fleet, Machine, Service
from orchestrator.core.health import Health
from orchestrator.core.incident import WORKING, Incident, State
from orchestrator.core.policy import Window
from orchestrator.core.sight import Condition, MachineView, Picture, ServiceView
from orchestrator.web.captureshape import CaptureShape
from orchestrator.web.shapes import maybe, rfc3339, rounded
from orchestrator.web.standing import StandingShape
from tasks.contract import Json, Reading

_WORST_LAST = ("healthy", "degraded", "unknown", "down")


class ReadingShape(TypedDict):
    """A probe's answer, with where, when and how long."""

    probe: str
    vantage: str
    asked_at: str
    age_s: float
    latency_s: float
    answer: dict[str, Json]


class MaintenanceShape(TypedDict):
    """The window that ends last of those that cover it now."""

    id: str
    ends_at: str
    by: str
    reason: str


class ServiceShape(TypedDict):
    """A service. `because` is what it is a consequence of, `hold` why nothing is started on it."""

    name: str
    machine: str
    unit: str
    optional: bool
    health: str
    reason: str
    since: str | None
    because: str | None
    hold: str | None
    fallback: str | None
    incident: str | None
    maintenance: MaintenanceShape | None
    reading: ReadingShape | None


class MachineShape(TypedDict):
    """A machine. Without a watcher it is judged by the services on it, and has no condition."""

    name: str
    role: str
    address: str
    health: str
    condition: str | None
    reason: str
    since: str | None
    age_s: float | None
    incident: str | None
    maintenance: MaintenanceShape | None
    services: list[str]


class StatusShape(TypedDict):
    """`watched`: whether the watcher tells this, or one look. `unread`: what could not be read."""

    fleet: str
    at: str
    watched: bool
    unread: str | None
    coordinator: StandingShape
    health: str
    services: list[ServiceShape]
    machines: list[MachineShape]
    captures: list[CaptureShape]


@dataclass(frozen=True, slots=True)
class Around:
    """What else there is to say of a service or a machine now."""

    incidents: Sequence[Incident]  #: those that are not closed
    windows: Sequence[Window]
    now: float
    by: StandingShape
    unread: str = ""  #: why incidents and windows are not here
    captures: Sequence[CaptureShape] = ()

    def incident(self, service: str, because: str = "") -> str | None:
        """The one that is about the service, or about what made it ill."""
        going = [e for e in self.incidents if e.state is not State.RESOLVED]
        for name in filter(None, (service, because)):
            for each in going:
                if each.failure and name in each.failure.services:
                    return each.id
        for each in going:
            if each.state in WORKING and service in brought_back(each.plan):
                return each.id
        return None

    def incident_on(self, machine: str) -> str | None:
        for each in self.incidents:
            if (
                each.state is not State.RESOLVED
                and each.failure
                and each.failure.machine == machine
            ):
                return each.id
        return None

    def maintenance(self, *names: str) -> MaintenanceShape | None:
        running = [w for w in self.windows if w.starts_at <= self.now < w.ends_at]
        here = [each for each in running if each.target in ("", *names)]
        if not here:
            return None
        w = max(here, key=lambda each: each.ends_at)
        return {"id": w.id, "ends_at": rfc3339(w.ends_at), "by": w.by, "reason": w.reason}


def as_watched(
    fleet: Fleet, picture: Picture, around: Around, roles: Mapping[str, str]
) -> StatusShape:
    """What the watcher sees."""
    services = [
        _watched(fleet.services[name], view, around) for name, view in picture.services.items()
    ]
    machines = [
        _watched_machine(fleet, fleet.machines[name], view, around, roles.get(name, ""))
        for name, view in picture.machines.items()
    ]
    return _status(fleet, picture.at, around, services, machines, watched=True)


def as_looked(
    fleet: Fleet, readings: Mapping[str, Reading], around: Around, roles: Mapping[str, str]
) -> StatusShape:
    """What one look found."""
    services = {
        name: _looked(each, readings[name], around) for name, each in fleet.services.items()
    }
    machines = [
        _looked_machine(fleet, each, services, around, roles.get(name, ""))
        for name, each in fleet.machines.items()
    ]
    return _status(fleet, around.now, around, list(services.values()), machines, watched=False)


def _status(
    fleet: Fleet,
    at: float,
    around: Around,
    services: list[ServiceShape],
    machines: list[MachineShape],
    *,
    watched: bool,
) -> StatusShape:
    return {
        "fleet": fleet.name,
        "at": rfc3339(at),
        "watched": watched,
        "unread": around.unread or None,
        "coordinator": around.by,
        "health": _of_all(services),
        "services": services,
        "machines": machines,
        "captures": list(around.captures),
    }


def _reading(reading: Reading, now: float) -> ReadingShape:
    return {
        "probe": reading.probe,
        "vantage": reading.vantage,
        "asked_at": rfc3339(reading.asked_at),
        "age_s": round(now - reading.asked_at, 3),
        "latency_s": round(reading.latency_s, 4),
        "answer": dict(reading.answer),
    }


def _watched(service: Service, view: ServiceView, around: Around) -> ServiceShape:
    return {
        "name": service.name,
        "machine": service.machine,
        "unit": service.unit,
        "optional": service.optional,
        "health": view.health.value,
        "reason": view.reason,
        "since": maybe(view.since or None),
        "because": view.because or None,
        "hold": view.hold if view.ill and view.hold else None,
        "fallback": view.fallback or None,
        "incident": around.incident(service.name, view.because),
        "maintenance": around.maintenance(service.name, service.machine),
        "reading": _reading(view.last, around.now) if view.last else None,
    }


def _looked(service: Service, reading: Reading, around: Around) -> ServiceShape:
    health = "unknown" if reading.error else "degraded" if reading.complaints else "healthy"
    return {
        "name": service.name,
        "machine": service.machine,
        "unit": service.unit,
        "optional": service.optional,
        "health": health,
        "reason": f"no answer: {reading.error}" if reading.error else reading.reason,
        "since": None,
        "because": None,
        "hold": None,
        "fallback": None,
        "incident": around.incident(service.name),
        "maintenance": around.maintenance(service.name, service.machine),
        "reading": _reading(reading, around.now),
    }


def _watched_machine(
    fleet: Fleet, machine: Machine, view: MachineView, around: Around, role: str
) -> MachineShape:
    health, reason = "unknown", view.reason
    if view.condition is Condition.OFF:
        health = "down"
    elif view.condition is Condition.UP:
        over = view.load is not None and view.load.health is Health.DEGRADED
        health = "degraded" if over else "healthy"
        reason = view.load.reason if view.load is not None and over else view.reason
    return {
        "name": machine.name,
        "role": role,
        "address": machine.address,
        "health": health,
        "condition": view.condition.value,
        "reason": reason,
        "since": maybe(view.since or None),
        "age_s": rounded(None if view.heard_at is None else around.now - view.heard_at),
        "incident": around.incident_on(machine.name),
        "maintenance": around.maintenance(machine.name),
        "services": [each.name for each in fleet.services_on(machine.name)],
    }


def _looked_machine(
    fleet: Fleet,
    machine: Machine,
    services: Mapping[str, ServiceShape],
    around: Around,
    role: str,
) -> MachineShape:
    here = [services[each.name] for each in fleet.services_on(machine.name)]
    if not here:
        health, reason = "unknown", "no service is watched here"
    else:
        health = max((each["health"] for each in here), key=_WORST_LAST.index)
        ill = [f"{each['name']}: {each['reason']}" for each in here if each["health"] == health]
        reason = "all services answer as expected" if health == "healthy" else "; ".join(ill)
    return {
        "name": machine.name,
        "role": role,
        "address": machine.address,
        "health": health,
        "condition": None,
        "reason": reason,
        "since": None,
        "age_s": None,
        "incident": around.incident_on(machine.name),
        "maintenance": around.maintenance(machine.name),
        "services": [each["name"] for each in here],
    }


def _of_all(services: Iterable[ServiceShape]) -> str:
    """The fleet serves its users when all that is not optional does."""
    found = list(services)
    worst = max(
        (each["health"] for each in found if not each["optional"]),
        key=_WORST_LAST.index,
        default="healthy",
    )
    everything = all(each["health"] == "healthy" for each in found)
    return "degraded" if worst == "healthy" and not everything else worst
