"""Breaking a lab on purpose, and mending it.

What lives here: what is broken, where, and in which order it is mended, in terms of the Lab
port. What must not: how a driver does it. Every fault is written down in the home before it
is made, so that another process, or the next one after a crash, can mend it. Mending is
repeatable.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from deploy.lab import LabFault, drop_ins, redis_faults, unit_faults
from deploy.lab.kinds import (
    COORDINATOR,
    ON_MACHINES,
    ONLY_ON,
    REPLACE_COMMAND,
    SECONDS,
    Fault,
    Kind,
)
from deploy.lab.unit_faults import Act

if TYPE_CHECKING:
    from deploy.lab.lab import Lab

#: How to make and how to undo a fault of a service; both on a machine that is on.
SERVICES: Mapping[str, tuple[Act, Act]] = {**unit_faults.WAYS, **redis_faults.WAYS}


def break_(lab: Lab, kind: str, target: str = "", seconds: float | None = None) -> list[Fault]:
    """Break `target`: machines (a,b), a unit that only one machine has, or machine/unit."""
    if kind not in set(Kind):
        raise LabFault(f"{kind!r} is no kind of fault (known: {', '.join(Kind)})")
    if reason := lab.cannot.get(Kind(kind)):
        raise LabFault(f"{kind} cannot be made in the {lab.driver} lab: {reason}")
    if seconds is not None and kind not in SECONDS:
        raise LabFault(f"{kind} has no length; only {', '.join(SECONDS)} have")
    faults = _faults(lab, Kind(kind), target, seconds)
    before = known(lab)
    for fault in faults:
        _refuse_second_command(fault, before)
    places = {each.place for each in faults}
    _write(lab, [*(each for each in before if each.place not in places), *faults])
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
    for fault in faults:
        if fault.unit:
            drop_ins.take(lab, fault.machine, fault.unit, fault.kind)
    off = {each.machine: each for each in faults if each.kind == Kind.MACHINE_OFF}
    if off:
        lab.power_all("start", list(off))
    for fault in faults:
        _join(lab, fault)
    for fault in faults:
        if fault.unit and lab.power_of(fault.machine) == "running":
            lab.wait_booted([fault.machine])
            drop_ins.reload(lab, fault.machine)
            SERVICES[fault.kind][1](lab, fault)
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


def _faults(lab: Lab, kind: Kind, target: str, seconds: float | None) -> list[Fault]:
    if kind == Kind.EVERYTHING_DOWN:
        return [Fault(Kind.MACHINE_OFF, name) for name in lab.machines]
    if kind == Kind.COORDINATOR_CUT:
        return [Fault(kind, COORDINATOR)]
    if kind not in ON_MACHINES:
        machine, unit = _unit(lab, target)
        if unit not in ONLY_ON.get(kind, (unit,)):
            raise LabFault(f"{kind} can be made on {', '.join(ONLY_ON[kind])}, not on {unit}")
        return [Fault(kind, machine, unit, SECONDS.get(kind, 0) if seconds is None else seconds)]
    names = target.split(",")
    for name in names:
        if name not in lab.machines:
            raise LabFault(f"{name!r} is no machine of this lab ({', '.join(lab.machines)})")
    return [Fault(kind, name) for name in names]


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


def _refuse_second_command(fault: Fault, before: list[Fault]) -> None:
    for other in before:
        both = {fault.kind, other.kind} <= set(REPLACE_COMMAND)
        if both and fault.kind != other.kind and fault.place[1:] == other.place[1:]:
            raise LabFault(f"{fault.machine} has {other.kind}, which {fault.kind} would undo; mend")


def _make(lab: Lab, fault: Fault) -> None:
    match fault.kind:
        case Kind.MACHINE_OFF:
            lab.power("kill", fault.machine)
        case Kind.NETWORK_CUT:
            lab.cut(fault.machine)
        case Kind.HALF_CUT:
            lab.part(fault.machine)
        case Kind.COORDINATOR_CUT:
            lab.coordinator_link("down")
        case _:
            SERVICES[fault.kind][0](lab, fault)


def _join(lab: Lab, fault: Fault) -> None:
    match fault.kind:
        case Kind.NETWORK_CUT:
            lab.join(fault.machine)
        case Kind.HALF_CUT:
            lab.unite(fault.machine)
        case Kind.COORDINATOR_CUT:
            lab.coordinator_link("up")
