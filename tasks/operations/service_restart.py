"""service.restart: a new run of a unit, and healthy if it has a check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tasks import checks, systemd
from tasks.contract import Json, Kind
from tasks.host import Host
from tasks.operation import Act, Leave, Met, Operation, Refuse, Tell, Unmet

#: For one that answers and is ill: Redis writes again a second after there is room, and tries
#: to save again five seconds after it could not.
HEALS_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class Arguments:
    unit: str
    check: Mapping[str, Json] = field(default_factory=dict)
    #: How long its orderly end may take before it is killed. A store that saves a lot
    #: when it ends needs more; the step's own deadline must be longer than this.
    stop_seconds: float = 30.0
    #: Left alone if it is well by now: after a step that may have mended it.
    if_ill: bool = False


def look_before(host: Host, wanted: Arguments) -> systemd.Unit:
    """Only `if_ill` needs to know how it feels, and gives it a moment to get well by itself."""
    if not wanted.if_ill or checks.fault(wanted.check):
        return systemd.show(host, wanted.unit)
    ends = host.now() + HEALS_SECONDS
    while True:
        unit = systemd.show(host, wanted.unit)
        if unit.active != "active":
            return unit
        checked = checks.take(host, wanted.check)
        # What does not answer at all will not in a moment either, and users wait.
        if checked.kind is not Kind.BAD or host.now() >= ends:
            return _with(unit, checked)
        host.sleep(1)


def look(host: Host, wanted: Arguments) -> systemd.Unit:
    unit = systemd.show(host, wanted.unit)
    if not wanted.check or unit.active != "active":
        return unit
    return _with(unit, checks.take(host, wanted.check))


def _with(unit: systemd.Unit, checked: checks.Checked) -> systemd.Unit:
    unproven = checked.kind in (Kind.BUSY, Kind.UNKNOWN, Kind.CHOSEN)
    return replace(unit, check=checked.complaint, barred=checked.barred, unproven=unproven)


def decide(wanted: Arguments, seen: systemd.Unit) -> Act | Leave | Refuse:
    if reason := (wanted.check and checks.fault(wanted.check)):
        return Refuse(reason)
    if reason := systemd.cannot_run(wanted.unit, seen):
        return Refuse(reason)
    return _only_if_ill(wanted, seen) if wanted.if_ill else Act()


def _only_if_ill(wanted: Arguments, seen: systemd.Unit) -> Act | Leave | Refuse:
    if seen.unproven:
        return Leave(f"{wanted.unit} is not restarted, nothing shows it to be ill: {seen.check}")
    finding = systemd.not_up(wanted.unit, seen)
    if finding is None:
        state = systemd.up(wanted.unit, seen)
        return Leave(f"healthy again before it was restarted: {state}")
    return Refuse(finding.reason) if seen.barred else Act()


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
    ends="unit",
    returns=True,
    look_before=look_before,
)
