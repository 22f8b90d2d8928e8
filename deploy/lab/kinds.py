"""The kinds of fault a lab can be broken with, and what each can be made on.

What lives here: names and plain values. What must not: how a fault is made; that is
`unit_faults`, `redis_faults` and, for machines and cables, `faults`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

#: In the place of a machine's name, for a fault of the coordinator's own end of the network.
COORDINATOR = "coordinator"


class Kind(StrEnum):
    """How a machine, a service or the network can be broken."""

    SERVICE_CRASH = "service-crash"  #: its processes are killed, and it stays down
    SERVICE_HANG = "service-hang"  #: its processes live and do nothing more
    SERVICE_STOP = "service-stop"  #: stopped in order, as by a person
    CRASH_LOOP = "crash-loop"  #: it dies some seconds after each start, and is started again
    INITIALISING = "initialising"  #: the port is open and answers 502 for a while, then all is well
    UNHEALTHY = "unhealthy"  #: answers 200 with a body that says unhealthy, until a restart
    WRONG_ANSWER = "wrong-answer"  #: 200 in another program's words, until a restart
    DISK_FULL = "disk-full"  #: no byte is left where Redis keeps its data
    WRONG_PERMISSIONS = "wrong-permissions"  #: Redis may not enter its own folder; it was killed
    PASSWORD_CHANGED = "password-changed"  # noqa: S105  #: Redis lives and answers NOAUTH
    LOADING = "loading"  #: Redis was restarted and answers LOADING for a while
    MACHINE_OFF = "machine-off"  #: power loss
    NETWORK_CUT = "network-cut"  #: the cable is out; the machine goes on by itself
    EVERYTHING_DOWN = "everything-down"  #: power loss of all machines at once
    HALF_CUT = "half-cut"  #: the coordinator cannot reach it; the other machines can
    COORDINATOR_CUT = "coordinator-cut"  #: the coordinator's own cable is out


ON_MACHINES = (Kind.MACHINE_OFF, Kind.NETWORK_CUT, Kind.HALF_CUT)

REDIS = ("redis-stack-server",)
WITH_STATUS = ("autobot-backend", "npu-worker", "playwright-server")

#: Faults that only some units can have.
ONLY_ON: Mapping[Kind, tuple[str, ...]] = {
    Kind.INITIALISING: ("autobot-backend",),
    Kind.UNHEALTHY: WITH_STATUS,
    Kind.WRONG_ANSWER: (*WITH_STATUS, "autobot-frontend", "ollama"),
    Kind.DISK_FULL: REDIS,
    Kind.WRONG_PERMISSIONS: REDIS,
    Kind.PASSWORD_CHANGED: REDIS,
    Kind.LOADING: REDIS,
}

#: These put their own command in place of the unit's, so a unit can have one of them at a time.
REPLACE_COMMAND = (Kind.CRASH_LOOP, Kind.PASSWORD_CHANGED, Kind.LOADING)

#: How long, for the faults that have a length: as the drills ask for it.
SECONDS: Mapping[Kind, float] = {Kind.CRASH_LOOP: 5, Kind.LOADING: 120, Kind.INITIALISING: 420}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is broken. `unit` is empty for a fault of a machine or of the network."""

    kind: str
    machine: str
    unit: str = ""
    seconds: float = 0

    def __str__(self) -> str:
        return f"{self.kind} {self.machine}" + (f"/{self.unit}" if self.unit else "")

    @property
    def place(self) -> tuple[str, str, str]:
        """Broken again for another time, it is still the same fault."""
        return self.kind, self.machine, self.unit
