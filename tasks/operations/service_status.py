"""service.status: what systemd says of a unit, whatever that is. A diagnosis."""

from __future__ import annotations

from dataclasses import dataclass

from tasks import systemd
from tasks.host import Host
from tasks.operation import Met, only_look


@dataclass(frozen=True, slots=True)
class Arguments:
    unit: str


def look(host: Host, wanted: Arguments) -> systemd.Unit:
    return systemd.show(host, wanted.unit)


def judge(wanted: Arguments, now: systemd.Unit) -> Met:
    trouble = systemd.not_up(wanted.unit, now)
    detail = "\n".join(
        (
            f"unit file: {now.load}, {now.enabled or 'not installed'}",
            f"state: {now.state} for {now.active_for:.0f} s, pid {now.main_pid}",
            f"restarts by itself: {now.restarts}",
            f"last end: {now.end}",
        )
    )
    return Met(trouble.reason if trouble else systemd.up(wanted.unit, now), detail)


status = only_look(
    "service.status",
    "Say what state a service is in",
    Arguments,
    systemd.Unit,
    look,
    judge,
    seconds=15,
    diagnosis=True,
)
