"""The hypervisor port: what may be done to a virtual machine from outside it.

What lives here: the port, its contract and finding a driver by name. What must not: any
particular hypervisor. A driver is one file in this folder with a function
`connect(at, host) -> Hypervisor`; it acts only through the Host it is given, so it works
from an agent, over SSH and against a fake. tests/contracts/test_hypervisor.py runs on each.
"""

from __future__ import annotations

import importlib
import pkgutil
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


class Hypervisor(Protocol):
    """Machines by the names under which the hypervisor knows them.

    Contract, for every driver:
    - `state` is read from the hypervisor on every call, never remembered;
    - `start` returns once the machine is powered, not when it has booted; on a machine that
      is running it does nothing;
    - `stop` returns once the machine is off; on a machine that is off it does nothing;
    - `hard` cuts the power, also of a machine that hangs in a start or an orderly stop;
      without it the machine shuts down by itself, and one that has not by the deadline is
      left as it is, with a HypervisorFault that says so;
    - calls for different machines may run at the same time; two starts of one machine
      power it once;
    - `boot` names the present or last power-up of the machine: it differs after every start,
      and only then, so that a restart can be told from a machine that was never off;
    - a name that the hypervisor does not know is a HypervisorFault without retry.
    """

    def state(self, vm: str, *, seconds: float = 10) -> Power: ...

    def boot(self, vm: str, *, seconds: float = 10) -> str: ...

    def start(self, vm: str, *, seconds: float = 60) -> None: ...

    def stop(self, vm: str, *, hard: bool, seconds: float = 60) -> None: ...


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
