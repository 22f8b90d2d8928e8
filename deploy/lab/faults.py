"""Breaking a lab on purpose, and mending it.

What lives here: the kinds of fault, in terms of the Lab port. What must not: how a driver
does it. Every fault is written down in the home before it is made, so that another process,
or the next one after a crash, can mend it. Mending is repeatable.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from deploy.lab import LabFault
from tasks.host import Ran

if TYPE_CHECKING:
    from deploy.lab.lab import Lab


class Kind(StrEnum):
    """How a machine or a service can be broken."""

    SERVICE_CRASH = "service-crash"  #: its processes are killed, and it stays down
    SERVICE_HANG = "service-hang"  #: its processes live and do nothing more
    SERVICE_STOP = "service-stop"  #: stopped in order, as by a person
    MACHINE_OFF = "machine-off"  #: power loss
    NETWORK_CUT = "network-cut"  #: the cable is out; the machine goes on by itself
    EVERYTHING_DOWN = "everything-down"  #: power loss of all machines at once


ON_SERVICES = (Kind.SERVICE_CRASH, Kind.SERVICE_HANG, Kind.SERVICE_STOP)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is broken. `unit` is empty for a fault of the whole machine."""

    kind: str
    machine: str
    unit: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.machine}" + (f"/{self.unit}" if self.unit else "")


def break_(lab: Lab, kind: str, target: str = "") -> list[Fault]:
    """Break `target`: a machine, a unit that only one machine has, or machine/unit."""
    if kind not in set(Kind):
        raise LabFault(f"{kind!r} is no kind of fault (known: {', '.join(Kind)})")
    faults = _faults(lab, Kind(kind), target)
    _write(lab, [*(each for each in known(lab) if each not in faults), *faults])
    if kind == Kind.EVERYTHING_DOWN:
        lab.power_all("kill")
        return faults
    for fault in faults:
        _make(lab, fault)
    return faults


def mend(lab: Lab, target: str = "") -> list[Fault]:
    """Undo every fault, or those of one machine, unit or machine/unit."""
    faults = [
        each
        for each in known(lab)
        if target in ("", each.machine, each.unit, f"{each.machine}/{each.unit}")
    ]
    off = {each.machine: each for each in faults if each.kind == Kind.MACHINE_OFF}
    if off:
        lab.power_all("start", list(off))
    for fault in faults:
        if fault.kind == Kind.NETWORK_CUT:
            lab.join(fault.machine)
    for fault in faults:
        if fault.unit and lab.power_of(fault.machine) == "running":
            lab.wait_booted([fault.machine])
            _undo(lab, fault)
    _write(lab, [each for each in known(lab) if each not in faults])
    return faults


def known(lab: Lab) -> list[Fault]:
    """What was broken and not mended; a recovery may have healed it since."""
    try:
        return [Fault(**each) for each in json.loads((lab.home / "faults.json").read_text())]
    except FileNotFoundError:
        return []


def _write(lab: Lab, faults: list[Fault]) -> None:
    aside = lab.home / "faults.json.new"
    aside.write_text(json.dumps([asdict(each) for each in faults]))
    aside.replace(lab.home / "faults.json")


def _faults(lab: Lab, kind: Kind, target: str) -> list[Fault]:
    if kind == Kind.EVERYTHING_DOWN:
        return [Fault(Kind.MACHINE_OFF, name) for name in lab.machines]
    if kind in ON_SERVICES:
        return [Fault(kind, *_unit(lab, target))]
    if target not in lab.machines:
        raise LabFault(f"{target!r} is no machine of this lab ({', '.join(lab.machines)})")
    return [Fault(kind, target)]


def _unit(lab: Lab, target: str) -> tuple[str, str]:
    everywhere = [(name, unit) for name, each in lab.machines.items() for unit in each.all_units]
    machine, _, unit = target.partition("/")
    if unit:
        found = [each for each in everywhere if each == (machine, unit)]
    elif machine in lab.machines:
        found = [(machine, lab.machines[machine].units[0])]
    else:
        found = [each for each in everywhere if each[1] == target]
    if len(found) != 1:
        names = ", ".join(f"{name}/{unit}" for name, unit in found or everywhere)
        raise LabFault(f"{target!r} names {len(found)} services of this lab: {names}")
    return found[0]


def _make(lab: Lab, fault: Fault) -> None:
    match fault.kind:
        case Kind.MACHINE_OFF:
            lab.power("kill", fault.machine)
        case Kind.NETWORK_CUT:
            lab.cut(fault.machine)
        case Kind.SERVICE_STOP:
            _systemctl(lab, fault, "stop")
        case Kind.SERVICE_HANG:
            _systemctl(lab, fault, "kill", "--signal=STOP")
        case Kind.SERVICE_CRASH:
            lab.forbid_restart(fault.machine, fault.unit)
            _systemctl(lab, fault, "kill", "--signal=KILL")


def _undo(lab: Lab, fault: Fault) -> None:
    match fault.kind:
        case Kind.SERVICE_HANG:
            active = lab.inside(fault.machine, ["systemctl", "is-active", "--", fault.unit])
            if active.ok:
                _systemctl(lab, fault, "kill", "--signal=CONT")
        case Kind.SERVICE_CRASH:
            lab.allow_restart(fault.machine, fault.unit)
            _systemctl(lab, fault, "start")
        case Kind.SERVICE_STOP:
            _systemctl(lab, fault, "start")


def _systemctl(lab: Lab, fault: Fault, verb: str, *options: str) -> Ran:
    done = lab.inside(fault.machine, ["systemctl", verb, *options, "--", fault.unit], seconds=90)
    if not done.ok:
        raise LabFault(f"{fault}: systemctl {verb}: {done.complaint}")
    return done
