"""What is protected, and the ways it can fail: plain frozen values.

What lives here: Fleet, Machine, Service, Scenario, Rung. What must not: reading or checking
files (orchestrator/config.py does that, with pydantic) and any decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tasks.contract import Json


@dataclass(frozen=True, slots=True)
class Check:
    """A probe with its arguments, asked from outside to see whether a service is healthy."""

    probe: str
    arguments: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Further:
    """A check besides the one that decides, and the fallback's. `vantage`: who asks it."""

    check: Check
    vantage: str  #: coordinator, or a machine
    interval_s: float
    timeout_s: float
    title: str = ""  #: what serves meanwhile, for a fallback


@dataclass(frozen=True, slots=True)
class Service:
    """What users need; runs on one machine as one systemd unit and depends on services."""

    name: str
    machine: str
    unit: str
    check: Check
    depends_on: tuple[str, ...] = ()
    optional: bool = False  #: the fleet serves its users without it, only worse
    start_seconds: float = 60  #: how long a start may take until the check is healthy
    settings: Mapping[str, Json] = field(default_factory=dict)  #: further operation arguments
    further: tuple[Further, ...] = ()
    fallback: Further | None = None
    interval_s: float = 5.0  #: between two looks of the watcher
    timeout_s: float = 3.0
    #: How long a start that nobody ordered is left alone, at least; 0: as long as a start may take.
    grace_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Machine:
    """A VM or host. `settings` are further operation arguments: vm, hypervisor, at, …"""

    name: str
    address: str
    settings: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Objectives:
    """Seconds. The target is what is aimed at, the maximum is what is still accepted."""

    rto_target_s: float
    rto_maximum_s: float
    rpo_target_s: float
    rpo_maximum_s: float


@dataclass(frozen=True, slots=True)
class Fleet:
    """Everything protected. `control` is the machine whose agent reaches the hypervisor."""

    name: str
    control: str
    machines: Mapping[str, Machine]
    services: Mapping[str, Service]
    objectives: Objectives
    broker: str = ""  #: the service that is our own broker, if it is one of the fleet's

    def services_on(self, machine: str) -> tuple[Service, ...]:
        return tuple(each for each in self.services.values() if each.machine == machine)


APPROVAL_SECONDS = 1800.0  #: for a yes, unless the rung says otherwise


class Approval(StrEnum):
    """Whether a rung may start by itself."""

    AUTO = "auto"
    ASK = "ask"
    NEVER = "never"


class Each(StrEnum):
    """What a rung's steps are repeated for, in dependency order."""

    ONCE = "once"
    MACHINE = "machine"


@dataclass(frozen=True, slots=True)
class StepTemplate:
    """One use of an operation in a runbook, before it is bound to this fleet."""

    operation: str
    on: str = ""  #: a service or machine; empty: the scenario's first service, or each's machine
    arguments: Mapping[str, Json] = field(default_factory=dict)
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Rung:
    """One remedy of a ladder."""

    title: str
    steps: tuple[StepTemplate, ...]
    approval: Approval = Approval.AUTO
    each: Each = Each.ONCE
    within_s: float = APPROVAL_SECONDS  #: how long a yes is waited for
    ask_after: tuple[str, ...] = ()  #: where one of these operations failed before, a yes is needed


@dataclass(frozen=True, slots=True)
class Scenario:
    """A named way to fail, and the ladder that cures it."""

    name: str
    title: str
    impact: str
    symptoms: tuple[str, ...]
    services: tuple[str, ...]  #: what must be healthy again for a rung to count
    ladder: tuple[Rung, ...]
    estimate_s: tuple[float, float]  #: what people expect it to take: from, to
    only_with: str = ""  #: a service; a fleet without it has no use for this scenario
