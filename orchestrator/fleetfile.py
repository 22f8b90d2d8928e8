"""fleet.yaml: its shape, and the way from it to the core's Fleet and to what people need.

What lives here: the pydantic shapes of the fleet file and the values built from them. What must
not: checks across its parts (orchestrator/fleetcheck.py), runbooks, and any particular fleet.

`{address}` and `{port}` in a service's check and settings stand for the machine's address
and the service's port, so that each stands in the file once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, model_validator

from orchestrator.backupfile import jobs
from orchestrator.backupkinds import AnyShape
from orchestrator.contactfile import Contacts, DeadMan, DeadManShape
from orchestrator.core.backups import Job
from orchestrator.core.escalation import Contact
from orchestrator.core.fleet import (
    Fleet,
    Further,
    Machine,
    Objectives,
    Service,
)
from orchestrator.core.health import Rule
from orchestrator.core.policy import Rules
from orchestrator.schema import Duration, Line, Name, Port, Positive, Shape
from orchestrator.sshfile import Access, SshShape
from orchestrator.watchfile import (
    FurtherShape,
    PaceShape,
    RecoveryShape,
    WatchShape,
    check,
    filled,
    further,
    rules,
)
from tasks.contract import Json

#: The name under which the coordinator's own key is kept, so no machine may have it.
COORDINATOR = "coordinator"


class Metric(StrEnum):
    """What the watcher measures and compares with thresholds."""

    RESPONSE_SECONDS = "response_seconds"
    MEMORY_PERCENT = "memory_percent"
    CONNECTED_CLIENTS = "connected_clients"
    CPU_PERCENT = "cpu_percent"
    DISK_PERCENT = "disk_percent"


class ObjectiveShape(Shape):
    target: Positive
    maximum: Positive

    @model_validator(mode="after")
    def ordered(self) -> ObjectiveShape:
        if self.target > self.maximum:
            raise ValueError("the target is above the maximum; aim at less than what is accepted")
        return self


class ObjectivesShape(Shape):
    rto: ObjectiveShape
    rpo: ObjectiveShape


class HypervisorShape(Shape):
    driver: Name
    at: Line


class MachineShape(Shape):
    address: Line
    role: str = ""
    vm: Line | None = None
    hypervisor: Name | None = None
    ssh: SshShape | None = None
    settings: dict[Line, Json] = Field(default_factory=dict)


class CheckShape(Shape):
    """A probe; the other keys are its arguments, which the probe itself judges."""

    model_config = ConfigDict(extra="allow")
    probe: Line

    @property
    def arguments(self) -> dict[str, Json]:
        return dict(self.model_extra or {})


class ServiceShape(Shape):
    machine: Name
    unit: Line
    check: CheckShape
    checks: list[FurtherShape] = Field(default_factory=list)
    fallback: FurtherShape | None = None
    watch: PaceShape = Field(default_factory=PaceShape)
    port: Port | None = None
    depends_on: list[Name] = Field(default_factory=list)
    optional: bool = False
    start_seconds: Positive = 60.0
    grace: Duration = 0.0
    settings: dict[Line, Json] = Field(default_factory=dict)


class ThresholdShape(Shape):
    warning: Positive
    critical: Positive

    @model_validator(mode="after")
    def ordered(self) -> ThresholdShape:
        if self.warning >= self.critical:
            raise ValueError("the warning is not below the critical value; warn before it is late")
        return self


Thresholds = dict[Annotated[Metric, Field(strict=False)], ThresholdShape]


class ThresholdsShape(Shape):
    services: dict[Name, Thresholds] = Field(default_factory=dict)
    machines: Thresholds = Field(default_factory=dict)


class FleetShape(Shape):
    fleet: Name
    control: Name
    objectives: ObjectivesShape
    ssh: SshShape
    contacts: Contacts
    dead_man: DeadManShape | None = None
    hypervisors: dict[Name, HypervisorShape] = Field(default_factory=dict)
    machines: dict[Name, MachineShape] = Field(min_length=1)
    services: dict[Name, ServiceShape] = Field(min_length=1)
    thresholds: ThresholdsShape = Field(default_factory=ThresholdsShape)
    watch: WatchShape = Field(default_factory=WatchShape)
    recovery: RecoveryShape = Field(default_factory=RecoveryShape)
    backups: dict[Name, AnyShape] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Threshold:
    """From which value on a metric is a warning, and critical. `service` is None for machines."""

    service: str | None
    metric: Metric
    warning: float
    critical: float


@dataclass(frozen=True, slots=True)
class Inventory:
    """A fleet file's content: the Fleet, and what only people and other parts need."""

    fleet: Fleet
    contacts: tuple[Contact, ...]
    access: Mapping[str, Access]
    thresholds: tuple[Threshold, ...]
    roles: Mapping[str, str]  #: what each machine is for
    rule: Rule  #: how many readings decide
    rules: Rules  #: what may be done without a person
    dead_man: DeadMan | None = None
    backups: Mapping[str, Job] = field(default_factory=dict)


def build(shape: FleetShape) -> Inventory:
    """The values of a file that was found without fault."""
    machines = {name: machine(name, each, shape) for name, each in shape.machines.items()}
    services = {
        name: service(name, each, shape.machines[each.machine], shape.watch)
        for name, each in shape.services.items()
    }
    rto, rpo = shape.objectives.rto, shape.objectives.rpo
    objectives = Objectives(rto.target, rto.maximum, rpo.target, rpo.maximum)
    ssh = {name: each.ssh or shape.ssh for name, each in shape.machines.items()}
    return Inventory(
        Fleet(shape.fleet, shape.control, machines, services, objectives),
        tuple(each.contact for each in shape.contacts),
        {name: each.access for name, each in ssh.items()},
        tuple(_thresholds(shape.thresholds)),
        {name: each.role for name, each in shape.machines.items()},
        Rule(shape.watch.bad, shape.watch.of, shape.watch.good),
        rules(shape.recovery),
        DeadMan(shape.dead_man.url, shape.dead_man.every) if shape.dead_man else None,
        jobs(shape.backups, objectives),
    )


def machine(name: str, shape: MachineShape, fleet: FleetShape) -> Machine:
    ssh = shape.ssh or fleet.ssh
    way = {"ssh_port": ssh.port, "ssh_user": ssh.user, "ssh_key": ssh.key}
    settings = {**shape.settings, **way}
    if shape.vm and shape.hypervisor:
        hypervisor = fleet.hypervisors[shape.hypervisor]
        settings |= {"vm": shape.vm, "hypervisor": hypervisor.driver, "at": hypervisor.at}
    return Machine(name, shape.address, settings)


def service(
    name: str, shape: ServiceShape, on: MachineShape, pace: WatchShape | None = None
) -> Service:
    """The service; its check takes by name, as a step does, what is not given in the check."""
    around, given = _given(shape, on)
    pace = pace or WatchShape()
    fallback = further_of(shape, on, shape.fallback) if shape.fallback else None
    return Service(
        name,
        shape.machine,
        shape.unit,
        check(shape.check.probe, shape.check.arguments, given, around),
        tuple(shape.depends_on),
        shape.optional,
        shape.start_seconds,
        {key: each for key, each in given.items() if key != "address"},
        tuple(further_of(shape, on, each) for each in shape.checks),
        fallback,
        shape.watch.interval or pace.interval,
        shape.watch.timeout or pace.timeout,
        shape.grace,
    )


def further_of(shape: ServiceShape, on: MachineShape, asked: FurtherShape) -> Further:
    """A further check, with what is not given in it taken by name as for the first."""
    around, given = _given(shape, on)
    return further(asked, shape.machine, given, around)


def _given(shape: ServiceShape, on: MachineShape) -> tuple[dict[str, Json], dict[str, Json]]:
    """What stands around a service's check, and all that it may take by name."""
    around: dict[str, Json] = {"address": on.address}
    if shape.port is not None:
        around["port"] = shape.port
    return around, {**around, **filled(shape.settings, around)}


def _thresholds(shape: ThresholdsShape) -> Iterator[Threshold]:
    for service_name, each in shape.services.items():
        for metric, limit in each.items():
            yield Threshold(service_name, metric, limit.warning, limit.critical)
    for metric, limit in shape.machines.items():
        yield Threshold(None, metric, limit.warning, limit.critical)
