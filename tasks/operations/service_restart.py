"""service.restart: a new run of a unit, and healthy if it has a check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tasks import checks, systemd
from tasks.contract import Json
from tasks.host import Host
from tasks.operation import Act, Leave, Met, Operation, Refuse, Tell, Unmet


@dataclass(frozen=True, slots=True)
class Arguments:
    unit: str
    check: Mapping[str, Json] = field(default_factory=dict)
    #: How long its orderly end may take before it is killed. A store that saves a lot
    #: when it ends needs more; the step's own deadline must be longer than this.
    stop_seconds: float = 30.0


def look_before(host: Host, wanted: Arguments) -> systemd.Unit:
    return systemd.show(host, wanted.unit)


def look(host: Host, wanted: Arguments) -> systemd.Unit:
    unit = systemd.show(host, wanted.unit)
    if not wanted.check or unit.active != "active":
        return unit
    checked = checks.take(host, wanted.check)
    return replace(unit, check=checked.complaint, barred=checked.barred)


def decide(wanted: Arguments, seen: systemd.Unit) -> Act | Leave | Refuse:
    if reason := (wanted.check and checks.fault(wanted.check)):
        return Refuse(reason)
    if reason := systemd.cannot_run(wanted.unit, seen):
        return Refuse(reason)
    return Act()


def act(host: Host, wanted: Arguments, _tell: Tell) -> None:
    systemd.order(host, "restart", wanted.unit, seconds=wanted.stop_seconds)


def judge(wanted: Arguments, before: systemd.Unit, now: systemd.Unit) -> Met | Unmet:
    if now.active == "active" and now.invocation == before.invocation:
        return Unmet(f"{wanted.unit} still is the old one, pid {now.main_pid}")
    return systemd.not_up(wanted.unit, now) or Met(f"{systemd.up(wanted.unit, now)}, newly started")


restart = Operation(
    "service.restart",
    "Restart a service and wait until the new one is up and healthy",
    Arguments,
    systemd.Unit,
    look,
    decide,
    act,
    judge,
    seconds=120,
    look_before=look_before,
)
