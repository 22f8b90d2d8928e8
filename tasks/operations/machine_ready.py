"""machine.ready: the machine has booted, which systemd says when all units are started."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.host import Host
from tasks.operation import Met, Unmet, only_look

_STATES = {
    "initializing": "is booting",
    "starting": "is booting",
    "stopping": "is shutting down",
    "maintenance": "is in rescue or emergency mode: somebody must log in at its console",
    "offline": "does not run systemd",
}


@dataclass(frozen=True, slots=True)
class Arguments:
    pass


@dataclass(frozen=True, slots=True)
class Seen:
    state: str
    failed: tuple[str, ...] = ()


def look(host: Host, _wanted: Arguments) -> Seen:
    # Its exit code only repeats the word, and while D-Bus is not up it says no word at all.
    ran = host.run(("systemctl", "is-system-running"), seconds=10)
    state = ran.out.strip() or ran.complaint
    if state != "degraded":
        return Seen(state)
    ran = host.run(
        ("systemctl", "list-units", "--state=failed", "--plain", "--no-legend", "--full"),
        seconds=10,
    )
    return Seen(state, tuple(line.split()[0] for line in ran.out.splitlines() if line.strip()))


def judge(_wanted: Arguments, now: Seen) -> Met | Unmet:
    if now.state == "running":
        return Met("the machine is up: all units are started")
    if now.state == "degraded":
        return Met(f"the machine is up, with failed units: {', '.join(now.failed)}")
    reason = _STATES.get(now.state, f"does not say yet that it is up ({now.state})")
    return Unmet(f"the machine {reason}", final=now.state in ("maintenance", "offline"))


ready = only_look(
    "machine.ready",
    "Wait until the machine has booted",
    Arguments,
    Seen,
    look,
    judge,
    seconds=300,
)
