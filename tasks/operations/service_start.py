"""service.start: a unit that runs, and is healthy if it has a check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tasks import checks, systemd
from tasks.contract import Json
from tasks.host import Host
from tasks.operation import Act, Leave, Met, Operation, Refuse, Tell, Unmet

#: Longer starts go on in systemd; only the waiting for systemctl ends.
START_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Arguments:
    unit: str
    check: Mapping[str, Json] = field(default_factory=dict)


def look(host: Host, wanted: Arguments) -> systemd.Unit:
    unit = systemd.show(host, wanted.unit)
    if not wanted.check or unit.active != "active" or checks.fault(wanted.check):
        return unit
    checked = checks.take(host, wanted.check)
    return replace(unit, check=checked.complaint, barred=checked.barred)


def decide(wanted: Arguments, seen: systemd.Unit) -> Act | Leave | Refuse:
    if reason := (wanted.check and checks.fault(wanted.check)):
        return Refuse(reason)
    if reason := systemd.cannot_run(wanted.unit, seen):
        return Refuse(reason)
    if systemd.not_up(wanted.unit, seen) is None:
        return Leave(systemd.up(wanted.unit, seen))
    return Act()


def act(host: Host, wanted: Arguments, _tell: Tell) -> None:
    systemd.order(host, "start", wanted.unit, seconds=START_SECONDS)


def judge(wanted: Arguments, _before: systemd.Unit, now: systemd.Unit) -> Met | Unmet:
    return systemd.not_up(wanted.unit, now) or Met(systemd.up(wanted.unit, now))


start = Operation(
    "service.start",
    "Start a service and wait until it is up and healthy",
    Arguments,
    systemd.Unit,
    look,
    decide,
    act,
    judge,
    seconds=120,
)
