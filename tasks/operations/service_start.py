"""service.start: a unit that runs, and is healthy if it has a check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tasks import checks, systemd
from tasks.contract import Json, Kind
from tasks.host import Host
from tasks.operation import Act, Leave, Met, Operation, Refuse, Tell, Unmet

#: Longer starts go on in systemd; only the waiting for systemctl ends.
START_SECONDS = 30.0
#: What has run for so long is not starting any more; it still gets a moment to heal by itself.
LONG_SECONDS, HEALS_SECONDS = 120.0, 8.0


@dataclass(frozen=True, slots=True)
class Arguments:
    unit: str
    check: Mapping[str, Json] = field(default_factory=dict)


def look(host: Host, wanted: Arguments) -> systemd.Unit:
    unit = systemd.show(host, wanted.unit)
    if not wanted.check or unit.active != "active" or checks.fault(wanted.check):
        return unit
    checked = checks.take(host, wanted.check)
    unproven = checked.kind in (Kind.BUSY, Kind.UNKNOWN, Kind.CHOSEN)
    return replace(unit, check=checked.complaint, barred=checked.barred, unproven=unproven)


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


def judge(wanted: Arguments, before: systemd.Unit, now: systemd.Unit) -> Met | Unmet:
    finding = systemd.not_up(wanted.unit, now)
    if finding and _hangs(before, now):
        ran = f"it had been running for {before.active_for:.0f} s, so it is not starting"
        return Unmet(f"{finding.reason}; {ran}", final=True)
    return finding or Met(systemd.up(wanted.unit, now))


def _hangs(before: systemd.Unit, now: systemd.Unit) -> bool:
    """Waiting cannot help one that ran long before, and that no start has changed."""
    same = before.active == now.active == "active" and before.invocation == now.invocation
    ill = bool(now.check) and not now.unproven
    waited = now.active_for - before.active_for
    return same and ill and before.active_for >= LONG_SECONDS and waited >= HEALS_SECONDS


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
