"""service.stop: a unit none of whose processes run."""

from __future__ import annotations

from dataclasses import dataclass

from tasks import systemd
from tasks.host import Host
from tasks.operation import Act, Leave, Met, Operation, Refuse, Tell, Unmet


@dataclass(frozen=True, slots=True)
class Arguments:
    unit: str
    stop_seconds: float = 30.0  #: how long its orderly end may take before it is killed


def look(host: Host, wanted: Arguments) -> systemd.Unit:
    return systemd.show(host, wanted.unit)


def decide(wanted: Arguments, seen: systemd.Unit) -> Act | Leave | Refuse:
    if seen.load == "not-found":
        return Refuse(systemd.cannot_run(wanted.unit, seen))
    if _stopped(seen):
        return Leave(f"{wanted.unit} does not run: {seen.state}")
    return Act()


def act(host: Host, wanted: Arguments, _tell: Tell) -> None:
    systemd.order(host, "stop", wanted.unit, seconds=wanted.stop_seconds)


def judge(wanted: Arguments, _before: systemd.Unit, now: systemd.Unit) -> Met | Unmet:
    if _stopped(now):
        return Met(f"{wanted.unit} is stopped: {now.state}")
    return Unmet(f"{wanted.unit} still is {now.state}")


def _stopped(unit: systemd.Unit) -> bool:
    # A failed unit may have left processes behind that systemd could not end.
    return unit.active in ("inactive", "failed") and not unit.main_pid


stop = Operation(
    "service.stop",
    "Stop a service, by force if it does not end by itself",
    Arguments,
    systemd.Unit,
    look,
    decide,
    act,
    judge,
    seconds=90,
    ends="unit",
)
