"""The hypervisor port: what may be done to a virtual machine from outside it.

What lives here: the port, its contract and finding a driver by name. What must not: any
particular hypervisor. A driver is one file in this folder with a function
`connect(at, host) -> Hypervisor`; it acts only through the Host it is given where commands and
files suffice, so it works from an agent, over SSH and against a fake. One that speaks a network
protocol of its own speaks it from this machine. tests/contracts/test_hypervisor.py runs on each.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from tasks.host import Host, HostFault


class Power(StrEnum):
    """Whether a machine is powered. It says nothing about what runs on it."""

    RUNNING = "running"
    OFF = "off"
    STARTING = "starting"
    STOPPING = "stopping"
    PAUSED = "paused"
    UNKNOWN = "unknown"  #: the hypervisor answered with a state that is none of these


class HypervisorFault(HostFault):
    """The hypervisor could not be asked, or said no. `retry` tells whether asking again helps."""

    def __init__(self, sentence: str, *, retry: bool) -> None:
        super().__init__(sentence)
        self.retry = retry


class Ability(StrEnum):
    """What not every hypervisor can do. The rest of the port, each of them can."""

    SNAPSHOTS = "snapshots"  #: snapshot, list_snapshots, restore_snapshot, remove_snapshot
    EXPORT = "export"  #: export, list_exports, remove_export


@dataclass(frozen=True, slots=True)
class Look:
    """A machine's power, and which power-up it is."""

    power: Power
    boot: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A machine's disks as they were. On the machine's own storage: no backup until exported."""

    name: str
    taken_at: float
    current: bool = False  #: what the machine's disks go on from


@dataclass(frozen=True, slots=True)
class Export:
    """A snapshot that was written elsewhere: whole, and its disks found sound."""

    name: str  #: the snapshot's
    size_bytes: int
    files: int


class Hypervisor(Protocol):
    """Machines by the names under which the hypervisor knows them.

    Contract, for every driver:
    - every call has a deadline in seconds and returns or raises HypervisorFault by then, also
      when the hypervisor says nothing; an exception from outside, such as a cancellation,
      ends the call at once;
    - `state` and `look` are read from the hypervisor on every call, never remembered;
    - `start` returns once the machine is powered, not when it has booted; on a machine that
      is running it does nothing; one that goes off again at once is a HypervisorFault;
    - `stop` returns once the machine is off; on a machine that is off it does nothing;
    - `hard` cuts the power, also of a machine that hangs in a start or an orderly stop;
      without it the machine shuts down by itself, and one that has not by the deadline is
      left as it is, with a HypervisorFault that says so;
    - `restart` is the reset button: a new power-up without asking the machine, which need not
      have been on;
    - calls for different machines may run at the same time; two starts of one machine
      power it once;
    - `look` adds the boot: a name of the present power-up of a machine that is on, so that a
      restart can be told from a machine that was never off; two of them are compared with
      `same_boot`. Of a machine that is off it names the last one, or is empty where the
      hypervisor does not keep that;
    - snapshots are listed oldest first; a second one of the same name is refused; after
      `restore_snapshot` the machine may be off, and that snapshot is the current one; a name
      that is not there is a fault without retry;
    - `export` writes a snapshot below `to`, a folder or share that the hypervisor reaches,
      into a folder of its own; there it is listed once it is whole and the hypervisor's own
      tools found its disks sound, and never before; a second one of the same name is refused;
    - what is not among `abilities` is a HypervisorFault without retry, and changes nothing;
    - a name that the hypervisor does not know, or not as one machine, is a HypervisorFault
      without retry.
    """

    @property
    def abilities(self) -> frozenset[Ability]: ...

    def state(self, vm: str, *, seconds: float = 10) -> Power: ...

    def look(self, vm: str, *, seconds: float = 10) -> Look: ...

    def start(self, vm: str, *, seconds: float = 60) -> None: ...

    def stop(self, vm: str, *, hard: bool, seconds: float = 60) -> None: ...

    def restart(self, vm: str, *, seconds: float = 60) -> None: ...

    def snapshot(self, vm: str, name: str, *, seconds: float = 300) -> None: ...

    def list_snapshots(self, vm: str, *, seconds: float = 30) -> tuple[Snapshot, ...]: ...

    def restore_snapshot(self, vm: str, name: str, *, seconds: float = 300) -> None: ...

    def remove_snapshot(self, vm: str, name: str, *, seconds: float = 600) -> None: ...

    def export(self, vm: str, name: str, to: str, *, seconds: float = 3600) -> Export: ...

    def list_exports(self, vm: str, to: str, *, seconds: float = 60) -> tuple[Export, ...]: ...

    def remove_export(self, vm: str, name: str, to: str, *, seconds: float = 600) -> None: ...


#: What a boot that was computed from an uptime can differ by from one look to the next.
BOOT_SLACK = 1.0


def same_boot(one: str, other: str) -> bool:
    """Whether two boots are the same power-up.

    A hypervisor that only tells how long a machine has been on gives a time, which is not the
    same to the millisecond on every look.
    """
    try:
        apart = datetime.fromisoformat(one) - datetime.fromisoformat(other)
    except (ValueError, TypeError):
        return one == other
    return abs(apart.total_seconds()) < BOOT_SLACK


def drivers() -> list[str]:
    """Every driver in this folder. A name with an underscore is a part of one."""
    return sorted(
        each.name for each in pkgutil.iter_modules(__path__) if not each.name.startswith("_")
    )


def connect(driver: str, at: str, host: Host) -> Hypervisor:
    """The hypervisor reached at `at`, asked through `host`."""
    if driver not in drivers():
        raise HypervisorFault(
            f"{driver!r} is no hypervisor driver (known: {', '.join(drivers())})", retry=False
        )
    module = importlib.import_module(f"{__name__}.{driver}")
    hypervisor: Hypervisor = module.connect(at, host)
    return hypervisor


def load(driver: str) -> None:
    """Import all that a driver needs: in a failure of everything, each second of that is seen."""
    if driver in drivers():
        module = importlib.import_module(f"{__name__}.{driver}")
        getattr(module, "load", lambda: None)()
