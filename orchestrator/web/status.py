"""The health of every service and machine as seen from the coordinator, each with its reason.

What lives here: looking when somebody asks, and the shape of the answer. What must not: verdicts
over time; one look cannot tell a service that is down from one that cannot be reached, so a
service that gave no answer is `unknown` and the reason says what happened.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from typing_extensions import TypedDict

from orchestrator.core.fleet import Fleet, Machine, Service
from orchestrator.lookout import Lookout
from orchestrator.ports import Clock
from orchestrator.web.shapes import rfc3339
from tasks.contract import Json, Reading

#: A look serves everybody who asks within this time, so that viewers do not add up.
FRESH_SECONDS = 0.5

_WORST_LAST = ("healthy", "degraded", "unknown")


class ReadingShape(TypedDict):
    """A probe's answer, with where, when and how long."""

    probe: str
    vantage: str
    asked_at: str
    age_s: float
    latency_s: float
    answer: dict[str, Json]


class ServiceShape(TypedDict):
    name: str
    machine: str
    unit: str
    optional: bool
    health: str
    reason: str
    reading: ReadingShape


class MachineShape(TypedDict):
    """A machine, judged by the services on it."""

    name: str
    role: str
    address: str
    health: str
    reason: str
    services: list[str]


class StatusShape(TypedDict):
    fleet: str
    at: str
    health: str
    services: list[ServiceShape]
    machines: list[MachineShape]


class StatusBoard:
    """The newest reading of each service, taken when it is asked for."""

    def __init__(self, fleet: Fleet, lookout: Lookout, now: Clock) -> None:
        self.fleet, self.lookout, self.now = fleet, lookout, now
        self._lock = threading.Lock()
        self._readings: Mapping[str, Reading] = {}
        self._looked_at = float("-inf")

    def readings(self) -> Mapping[str, Reading]:
        """Fresh ones; while somebody looks, the last ones, whose age says what they are.

        Services that are slow to answer must not hold every thread that a run could need.
        """
        if not self._lock.acquire(blocking=not self._readings):
            return self._readings
        try:
            if self.now() - self._looked_at > FRESH_SECONDS:
                self._readings = self.lookout.look(list(self.fleet.services.values()))
                self._looked_at = self.now()
            return self._readings
        finally:
            self._lock.release()

    def status(self, roles: Mapping[str, str]) -> StatusShape:
        readings, at = self.readings(), self.now()
        services = {
            name: _service(each, readings[name], at) for name, each in self.fleet.services.items()
        }
        machines = [
            _machine(each, roles.get(name, ""), self.fleet.services_on(name), services)
            for name, each in self.fleet.machines.items()
        ]
        return {
            "fleet": self.fleet.name,
            "at": rfc3339(at),
            "health": _of_all(services.values()),
            "services": list(services.values()),
            "machines": machines,
        }


def health_of(reading: Reading) -> str:
    if reading.error:
        return "unknown"
    return "degraded" if reading.complaints else "healthy"


def _service(service: Service, reading: Reading, at: float) -> ServiceShape:
    return {
        "name": service.name,
        "machine": service.machine,
        "unit": service.unit,
        "optional": service.optional,
        "health": health_of(reading),
        "reason": f"no answer: {reading.error}" if reading.error else reading.reason,
        "reading": {
            "probe": reading.probe,
            "vantage": reading.vantage,
            "asked_at": rfc3339(reading.asked_at),
            "age_s": round(at - reading.asked_at, 3),
            "latency_s": round(reading.latency_s, 4),
            "answer": dict(reading.answer),
        },
    }


def _machine(
    machine: Machine, role: str, here: Iterable[Service], services: Mapping[str, ServiceShape]
) -> MachineShape:
    shapes = [services[each.name] for each in here]
    if not shapes:
        health, reason = "unknown", "no service is watched here"
    else:
        health = max((each["health"] for each in shapes), key=_WORST_LAST.index)
        ill = [f"{each['name']}: {each['reason']}" for each in shapes if each["health"] == health]
        reason = "all services answer as expected" if health == "healthy" else "; ".join(ill)
    return {
        "name": machine.name,
        "role": role,
        "address": machine.address,
        "health": health,
        "reason": reason,
        "services": [each["name"] for each in shapes],
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
