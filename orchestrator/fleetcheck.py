"""Checks across the parts of a fleet file: what refers to what, cycles, doubles, probes.

What lives here: faults and warnings that one part alone cannot show. What must not: the shapes
(orchestrator/fleetfile.py). A part with a fault of its own is left out of these checks, so that
one mistake gives one sentence and does not hide the others.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from orchestrator import backupfile, catalog
from orchestrator.core.graph import waves
from orchestrator.core.plan import Fault
from orchestrator.fleetfile import (
    COORDINATOR,
    FleetShape,
    HypervisorShape,
    Inventory,
    MachineShape,
    ServiceShape,
    build,
    further_of,
)
from orchestrator.fleetfile import service as build_service
from orchestrator.schema import faults_of, is_address
from orchestrator.watchfile import FurtherShape
from orchestrator.yamlfile import Document, Place
from tasks.contract import Json
from tasks.hypervisors import drivers

M = TypeVar("M", bound=BaseModel)

#: What a service's settings cannot hold, because it has a place of its own.
_OWN_PLACE = ("unit", "check", "address", "port", "vm", "hypervisor", "at")


def read_fleet(document: Document) -> tuple[Inventory | None, tuple[Fault, ...]]:
    """The inventory with its warnings, or None with every fault."""
    if not isinstance(document.content, dict):
        return None, (document.fault((), "must be a mapping with machines, services and so on"),)
    faults: list[Fault] = []
    shape: FleetShape | None = None
    try:
        shape = FleetShape.model_validate(document.content)
    except ValidationError as error:
        faults += faults_of(document, FleetShape, error)
    parts = _parts(document)
    faults += [fault for check in _CHECKS for fault in check(parts)]
    if shape is None or faults:
        return None, tuple(faults)
    inventory = build(shape)
    if unplanned := tuple(backupfile.plan_faults(document, inventory.backups, inventory.fleet)):
        return None, unplanned
    return inventory, tuple(_warnings(document, shape, inventory))


@dataclass(frozen=True, slots=True)
class _Parts:
    """The parts that are sound by themselves, beside everything that was written."""

    document: Document
    content: Mapping[str, Json]
    hypervisors: Mapping[str, HypervisorShape]
    machines: Mapping[str, MachineShape]
    services: Mapping[str, ServiceShape]

    def names(self, section: str) -> tuple[str, ...]:
        """Also parts that are faulty have names that others may use."""
        found = self.content.get(section)
        return tuple(found) if isinstance(found, dict) else ()

    def unknown(self, section: str, kind: str, name: Json, place: Place) -> Iterator[Fault]:
        known = self.names(section)
        if isinstance(name, str) and name not in known:
            message = f"{name!r} is not a {kind} here (known: {', '.join(known) or 'none'})"
            yield self.document.fault(place, message)


def _parts(document: Document) -> _Parts:
    content = document.content
    return _Parts(
        document,
        content,
        _sound(content.get("hypervisors"), HypervisorShape),
        _sound(content.get("machines"), MachineShape),
        _sound(content.get("services"), ServiceShape),
    )


def _sound(section: Json, model: type[M]) -> dict[str, M]:
    found = {}
    for name, value in section.items() if isinstance(section, dict) else ():
        # The faults of the others were told when the whole file was read.
        with suppress(ValidationError):
            found[name] = model.model_validate(value)
    return found


def _control(parts: _Parts) -> Iterator[Fault]:
    yield from parts.unknown("machines", "machine", parts.content.get("control"), ("control",))


def _reserved(parts: _Parts) -> Iterator[Fault]:
    if COORDINATOR in parts.names("machines"):
        message = "is the name of the coordinator's own key; give the machine another name"
        yield parts.document.fault(("machines", COORDINATOR), message)


def _addresses(parts: _Parts) -> Iterator[Fault]:
    seen: dict[str, str] = {}
    for name, machine in parts.machines.items():
        place = ("machines", name, "address")
        if not is_address(machine.address):
            message = f"{machine.address!r} is neither an IP address nor a host name"
            yield parts.document.fault(place, message)
        first = seen.setdefault(machine.address, name)
        if first != name:
            message = f"{machine.address} is the address of {first!r} too; give each its own"
            yield parts.document.fault(place, message)


def _vms(parts: _Parts) -> Iterator[Fault]:
    seen: dict[tuple[str, str], str] = {}
    for name, machine in parts.machines.items():
        if (machine.vm is None) != (machine.hypervisor is None):
            message = "`vm` and `hypervisor` go together; give both or neither"
            yield parts.document.fault(("machines", name), message)
        if machine.vm is None or machine.hypervisor is None:
            continue
        place = ("machines", name, "hypervisor")
        yield from parts.unknown("hypervisors", "hypervisor", machine.hypervisor, place)
        first = seen.setdefault((machine.hypervisor, machine.vm), name)
        if first != name:
            message = f"{machine.vm!r} is the VM of {first!r} too; give each machine its own"
            yield parts.document.fault(("machines", name, "vm"), message)


def _references(parts: _Parts) -> Iterator[Fault]:
    for name, each in parts.services.items():
        place = ("services", name)
        yield from parts.unknown("machines", "machine", each.machine, (*place, "machine"))
        for index, need in enumerate(each.depends_on):
            where = (*place, "depends_on", index)
            yield from parts.unknown("services", "service", need, where)


def _cycles(parts: _Parts) -> Iterator[Fault]:
    graph = {
        name: frozenset(need for need in each.depends_on if need in parts.services)
        for name, each in parts.services.items()
    }
    try:
        waves(graph)
    except ValueError as cycle:
        message = f"services wait for each other in a circle: {cycle}; take one dependency out"
        yield parts.document.fault(("services",), message)


def _checks(parts: _Parts) -> Iterator[Fault]:
    for name, each in parts.services.items():
        place = ("services", name, "check")
        if each.check.probe not in catalog.probe_names():
            known = ", ".join(catalog.probe_names())
            message = f"there is no probe {each.check.probe!r} (known: {known})"
            yield parts.document.fault((*place, "probe"), message)
        elif on := parts.machines.get(each.machine):
            check = build_service(name, each, on).check
            for message in catalog.probe_faults(check.probe, check.arguments):
                yield parts.document.fault(place, f"{message}; see the probe {check.probe!r}")
        for index, further in enumerate(each.checks):
            yield from _further(parts, (*("services", name, "checks"), index), each, further)
        if each.fallback:
            yield from _further(parts, ("services", name, "fallback"), each, each.fallback)
        if each.port is None and "{port}" in json.dumps([each.check.arguments, each.settings]):
            message = "uses {port}, but the service has no `port`; give it one"
            yield parts.document.fault(("services", name), message)


def _further(
    parts: _Parts, place: Place, service: ServiceShape, shape: FurtherShape
) -> Iterator[Fault]:
    if shape.probe not in catalog.probe_names():
        known = ", ".join(catalog.probe_names())
        message = f"there is no probe {shape.probe!r} (known: {known})"
        yield parts.document.fault((*place, "probe"), message)
    elif on := parts.machines.get(service.machine):
        asked = further_of(service, on, shape).check
        for message in catalog.probe_faults(asked.probe, asked.arguments):
            yield parts.document.fault(place, f"{message}; see the probe {asked.probe!r}")
    if shape.vantage != COORDINATOR:
        yield from parts.unknown("machines", "machine", shape.vantage, (*place, "from"))


def _settings(parts: _Parts) -> Iterator[Fault]:
    known = catalog.setting_names()
    sections: Mapping[str, Mapping[str, MachineShape | ServiceShape]] = {
        "machines": parts.machines,
        "services": parts.services,
    }
    for section, shapes in sections.items():
        for name, each in shapes.items():
            for setting in each.settings:
                place = (section, name, "settings", setting)
                if setting in _OWN_PLACE:
                    message = "has a key of its own; take it out of the settings"
                    yield parts.document.fault(place, message)
                elif setting not in known:
                    message = "is not an argument of any operation or probe; mind the spelling"
                    yield parts.document.fault(place, message)


def _thresholds(parts: _Parts) -> Iterator[Fault]:
    thresholds = parts.content.get("thresholds")
    services = thresholds.get("services") if isinstance(thresholds, dict) else None
    for name in services if isinstance(services, dict) else ():
        place = ("thresholds", "services", name)
        yield from parts.unknown("services", "service", name, place)


def _backups(parts: _Parts) -> Iterator[Fault]:
    sound = backupfile.sound(parts.content.get("backups"))
    known = {section: parts.names(section) for section in ("machines", "services")}
    yield from backupfile.reference_faults(parts.document, sound, known)


_CHECKS: tuple[Callable[[_Parts], Iterator[Fault]], ...] = (
    _control,
    _reserved,
    _addresses,
    _vms,
    _references,
    _cycles,
    _checks,
    _settings,
    _thresholds,
    _backups,
)


def _warnings(document: Document, shape: FleetShape, inventory: Inventory) -> Iterator[Fault]:
    yield from backupfile.warnings(document, inventory.backups)
    if not shape.contacts:
        message = "nobody: nobody will be called, whatever happens; name who to call"
        yield document.fault(("contacts",), message)
    for name, hypervisor in shape.hypervisors.items():
        if hypervisor.driver not in drivers():
            known = ", ".join(drivers()) or "none"
            message = (
                f"this version has no driver {hypervisor.driver!r} (known: {known}); "
                "steps on its VMs will be refused"
            )
            yield document.fault(("hypervisors", name, "driver"), message)
    for name, service in shape.services.items():
        for index, need in enumerate(service.depends_on):
            if shape.services[need].optional and not service.optional:
                message = (
                    f"{need!r} is optional, but {name!r} is not and will not be started without "
                    "it; make both optional or neither, or take the dependency out"
                )
                yield document.fault(("services", name, "depends_on", index), message)
