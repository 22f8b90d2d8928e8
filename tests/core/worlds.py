"""Small fleets, a catalogue and scenarios for the tests of the core and of the store.

What lives here: plain values. What must not: the shipped fleet; that one has its own tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.core.compiling import compile_plan
from orchestrator.core.failure import Failure, Severity
from orchestrator.core.fleet import (
    Approval,
    Check,
    Each,
    Fleet,
    Machine,
    Objectives,
    Rung,
    Scenario,
    Service,
    StepTemplate,
)
from orchestrator.core.health import Health
from orchestrator.core.incident import Incident
from orchestrator.core.plan import OperationSpec, Plan
from tasks.contract import Json

HOUR = 3600.0


@dataclass(frozen=True)
class Operations:
    """A catalogue. An argument named like `needed` must be given."""

    specs: Mapping[str, OperationSpec]
    needed: tuple[str, ...] = ()

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self.specs))

    def spec(self, operation: str) -> OperationSpec | None:
        return self.specs.get(operation)

    def faults(self, operation: str, arguments: Mapping[str, Json]) -> tuple[str, ...]:
        wanted = self.specs[operation].arguments
        missing = [name for name in self.needed if name in wanted and name not in arguments]
        return tuple(f"{name!r} is missing" for name in missing)


CATALOG = Operations(
    {
        "vm.start": OperationSpec(("vm",), 30, only_looks=False, from_control=True),
        "service.restart": OperationSpec(
            ("unit", "check"), 20, only_looks=False, from_control=False
        ),
        "service.status": OperationSpec(("unit",), 5, only_looks=True, from_control=False),
        "journal.tail": OperationSpec(("unit", "lines"), 5, only_looks=True, from_control=False),
    },
    needed=("unit", "vm"),
)


def service(name: str, machine: str, *needs: str, optional: bool = False) -> Service:
    check = Check("http", {"port": 80, "path": f"/{name}"})
    return Service(
        name, machine, f"{name}.service", check, needs, optional=optional, start_seconds=40
    )


def fleet(*services: Service) -> Fleet:
    """These services, on the machines that they name, and a machine for control."""
    names = dict.fromkeys(["control", *(each.machine for each in services)])
    machines = {
        name: Machine(name, f"10.0.0.{number}", {"vm": f"VM-{name}"})
        for number, name in enumerate(names, start=1)
    }
    goals = Objectives(HOUR, 2 * HOUR, HOUR, 4 * HOUR)
    return Fleet("small", "control", machines, {each.name: each for each in services}, goals)


#: A line with an optional side: db, then cache, then api, then web; npu needs db alone.
SMALL = fleet(
    service("db", "m1"),
    service("cache", "m2", "db"),
    service("npu", "m3", "db", optional=True),
    service("api", "m4", "db", "cache"),
    service("web", "m5", "api"),
)

#: The same with `chat`, optional too, which needs the npu; and one where something required does.
BESIDE = fleet(*SMALL.services.values(), service("chat", "m6", "npu", optional=True))
STRICT = fleet(
    service("db", "m1"),
    service("npu", "m2", "db", optional=True),
    service("api", "m3", "npu"),
)


def scenario(*ladder: Rung, services: tuple[str, ...] = ("api",)) -> Scenario:
    return Scenario("test", "A test", "none", (), services, ladder, (1.0, 2.0))


def rung(
    *operations: str,
    title: str = "restart",
    approval: Approval = Approval.AUTO,
    each: Each = Each.ONCE,
    on: str = "",
) -> Rung:
    steps = tuple(StepTemplate(operation, on=on) for operation in operations)
    return Rung(title, steps, approval, each)


def plan(*ladder: Rung, services: tuple[str, ...] = ("api",), of: Fleet = SMALL) -> Plan:
    compiled = compile_plan(scenario(*ladder, services=services), of, CATALOG)
    assert isinstance(compiled, Plan), compiled
    return compiled


EVERYTHING = tuple(SMALL.services)
RESTART = rung("service.status", "service.restart")
REBOOT = rung("vm.start", "service.restart", title="restart the VM")
ALL_MACHINES = rung("vm.start", title="start all", each=Each.MACHINE)


FAILURE = Failure(
    "service:api",
    ("api",),
    "m4",
    Health.DOWN,
    Severity.CRITICAL,
    "nothing listens",
    first_bad_at=995.0,
    detected_at=1000.0,
    scenario="test",
)


def incident(of: Plan, run: str = "run-1", opened_at: float = 1000.0) -> Incident:
    return Incident(f"inc-{run}", run, 0, of.scenario, "tested", of, opened_at)
