"""A virtual machine as its hypervisor shows it: what the vm.* operations look at.

What lives here: the look, and the words for it. What must not: any particular hypervisor.
"""

from __future__ import annotations

from dataclasses import dataclass

from tasks.host import Host
from tasks.hypervisors import Hypervisor, Power, connect
from tasks.operation import Met, Unmet


@dataclass(frozen=True, slots=True)
class Arguments:
    vm: str  #: its name at the hypervisor
    hypervisor: str  #: the driver
    at: str  #: where the hypervisor is


@dataclass(frozen=True, slots=True)
class Seen:
    power: str  #: a Power; a string, because it goes to the journal
    boot: str


def hypervisor(host: Host, wanted: Arguments) -> Hypervisor:
    return connect(wanted.hypervisor, wanted.at, host)


def look(host: Host, wanted: Arguments) -> Seen:
    found = hypervisor(host, wanted).look(wanted.vm)
    return Seen(found.power.value, found.boot)


def runs(wanted: Arguments, now: Seen) -> Met | Unmet:
    if now.power == Power.RUNNING:
        return Met(f"{wanted.vm} is running")
    return Unmet(f"{wanted.vm} is {now.power}")
