"""Compiles a scenario for one fleet, or tells every fault that keeps it from being a plan.

What lives here: `compile_plan`. What must not: knowing any particular operation; the catalogue
is an argument. All faults are found at once, each with its place.

A step's arguments are taken by name from the step itself, then from its service's settings
and its machine's, so a runbook says what to do and the fleet file says with what.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from orchestrator.core.fleet import Each, Fleet, Machine, Rung, Scenario, Service, StepTemplate
from orchestrator.core.graph import (
    Graph,
    machine_graph,
    most_awaited_first,
    put_last,
    service_graph,
    waves,
)
from orchestrator.core.ownmachine import ends_its_agent, misplaced
from orchestrator.core.plan import Branch, Catalog, Fault, OperationSpec, Plan, PlannedRung, Step
from tasks.contract import Json


def compile_plan(scenario: Scenario, fleet: Fleet, catalog: Catalog) -> Plan | tuple[Fault, ...]:
    """The plan, or every fault that keeps it from being one."""
    known = tuple(name for name in scenario.services if name in fleet.services)
    compiler = _Compiler(replace(scenario, services=known), fleet, catalog)
    for name in scenario.services:
        if name not in known:
            compiler.fault("services", f"{name!r} is not a service of fleet {fleet.name!r}")
    if not scenario.services:
        compiler.fault("services", "name at least one service that must be healthy afterwards")
    if not scenario.ladder:
        compiler.fault("ladder", "has no rung; give at least one")
    # Without any service there is nothing that the steps could be bound to.
    ladder = scenario.ladder if known else ()
    rungs = tuple(compiler.rung(number, rung) for number, rung in enumerate(ladder))
    # A step that is repeated for each machine has its fault once.
    faults = tuple(dict.fromkeys(compiler.faults))
    return faults or Plan(scenario.name, rungs)


class _Compiler:
    """Collects faults while it compiles; nothing else is kept."""

    def __init__(self, scenario: Scenario, fleet: Fleet, catalog: Catalog) -> None:
        self.scenario, self.fleet, self.catalog = scenario, fleet, catalog
        self.faults: list[Fault] = []

    def fault(self, place: str, message: str) -> None:
        self.faults.append(Fault(f"scenario {self.scenario.name}, {place}", message))

    def rung(self, number: int, rung: Rung) -> PlannedRung:
        place = f"rung {number + 1} ({rung.title})"
        if rung.each is Each.MACHINE:
            branches = self.machine_branches(rung, place)
        else:
            branches = (self.single_branch(rung, place),)
        for name in rung.ask_after:
            if self.catalog.spec(name) is None:
                known = ", ".join(self.catalog.names())
                self.fault(place, f"ask_after: {name!r} is no operation (known: {known})")
        return PlannedRung(rung.title, rung.approval, branches, rung.within_s, rung.ask_after)

    def single_branch(self, rung: Rung, place: str) -> Branch:
        steps = self.steps(rung, "", iter(range(10_000)), place, alone=True)
        return self.whole(self.scenario.name, steps)

    def steps(
        self, rung: Rung, machine: str, counter: Iterator[int], place: str, *, alone: bool
    ) -> list[Step]:
        bound = [
            (step, f"{place}, step {index + 1} ({template.operation})")
            for index, template in enumerate(rung.steps)
            for step in self.bind(template, machine, counter, f"{place}, step {index + 1}")
        ]
        for number, (step, where) in enumerate(bound, 1):
            last = number == len(bound)
            if reason := misplaced(step, self.fleet, self.catalog, last=last, alone=alone):
                self.fault(where, reason)
        return [step for step, _ in bound]

    def whole(self, name: str, steps: list[Step]) -> Branch:
        """A branch that answers for the scenario."""
        services = self.scenario.services
        # A scenario of optional services alone (the NPU) must bring those back.
        optional = all(self.fleet.services[service].optional for service in services)
        return replace(self.branch(name, steps, services, optional=optional), optional=False)

    def machine_branches(self, rung: Rung, place: str) -> tuple[Branch, ...]:
        """A branch for each machine, after those that it needs, and a look at everything."""
        graph = machine_graph(self.fleet, self.scenario.services)
        try:
            waves(service_graph(self.fleet, self.scenario.services))
        except ValueError as cycle:
            self.fault(place, f"the services wait for each other in a circle: {cycle}")
            return ()
        try:
            waves(graph)
        except ValueError as cycle:
            self.fault(place, f"the machines wait for each other in a circle: {cycle}")
            return ()
        after = (
            put_last(graph, self.fleet.control) if self.ends_control(rung, graph, place) else graph
        )
        order = waves(after)
        counter = iter(range(10_000))
        found: list[Branch] = []
        at: dict[str, int] = {}
        for wave, machines in enumerate(order):
            for machine in most_awaited_first(machines, after):
                branch = self.machine_branch(rung, machine, counter, place)
                needs = tuple(sorted(at[each] for each in graph[machine]))
                awaits = tuple(sorted(at[each] for each in after[machine] - graph[machine]))
                at[machine] = len(found)
                found.append(replace(branch, needs=needs, awaits=awaits, wave=wave))
        required = tuple(n for n, each in enumerate(found) if not each.optional)
        optional = tuple(n for n, each in enumerate(found) if each.optional)
        look = self.whole("everything", [])
        return (*found, replace(look, needs=required, awaits=optional, wave=len(order)))

    def ends_control(self, rung: Rung, graph: Graph, place: str) -> bool:
        """Whether the coordinator's own machine or agent goes down for a while in this rung."""
        control = self.fleet.control
        if control not in graph:
            return False
        steps = self.steps(rung, control, iter(range(10_000)), place, alone=False)
        return any(ends_its_agent(each, self.fleet, self.catalog) for each in steps)

    def machine_branch(
        self, rung: Rung, machine: str, counter: Iterator[int], place: str
    ) -> Branch:
        steps = self.steps(rung, machine, counter, place, alone=False)
        services = self.in_order(machine)
        optional = all(self.fleet.services[name].optional for name in services)
        return self.branch(machine, steps, services, optional=optional)

    def in_order(self, machine: str) -> tuple[str, ...]:
        """The scenario's services on this machine, each after those that it needs."""
        here = [n for n in self.scenario.services if self.fleet.services[n].machine == machine]
        return tuple(name for wave in waves(service_graph(self.fleet, here)) for name in wave)

    def branch(
        self, name: str, steps: list[Step], checks: tuple[str, ...], *, optional: bool
    ) -> Branch:
        services = self.fleet.services
        required = tuple(n for n in checks if optional or not services[n].optional)
        seconds = max(services[check].start_seconds for check in checks)
        return Branch(name, tuple(steps), checks, required, seconds, optional)

    def bind(
        self, template: StepTemplate, machine: str, counter: Iterator[int], place: str
    ) -> Iterator[Step]:
        """The step or, with `on: services`, one for each service of the branch's machine."""
        place = f"{place} ({template.operation})"
        spec = self.catalog.spec(template.operation)
        if spec is None:
            known = ", ".join(self.catalog.names())
            self.fault(place, f"there is no such operation (known: {known})")
            return
        if machine == self.fleet.control and spec.from_control and not template.on:
            # Who carries it out is on that machine, so it is neither off nor out of reach.
            return
        for service, target in self.targets(template, machine, place):
            given = {**bound_settings(target, service), **template.arguments}
            arguments = {n: v for n, v in given.items() if n in spec.arguments}
            strange = [name for name in template.arguments if name not in spec.arguments]
            messages = [f"{n!r} is not an argument of it" for n in strange]
            messages += self.catalog.faults(template.operation, arguments)
            for message in messages:
                owner = f"service {service.name!r}" if service else f"machine {target.name!r}"
                self.fault(place, f"{message}; give it in the step or in {owner}")
            agent = self.fleet.control if spec.from_control else target.name
            seconds = template.seconds or _seconds(spec, service)
            yield Step(
                next(counter),
                template.operation,
                agent,
                target.name,
                service.name if service else "",
                arguments,
                seconds,
            )

    def targets(
        self, template: StepTemplate, machine: str, place: str
    ) -> Iterator[tuple[Service | None, Machine]]:
        services, machines = self.fleet.services, self.fleet.machines
        if machine and template.on == "services":
            for name in self.in_order(machine):
                yield services[name], machines[machine]
        elif machine and not template.on:
            yield None, machines[machine]
        elif (name := template.on or self.scenario.services[0]) in services:
            yield services[name], machines[services[name].machine]
        elif name in machines:
            yield None, machines[name]
        else:
            known = ", ".join([*services, *machines])
            self.fault(place, f"{name!r} is neither a service nor a machine (known: {known})")


def bound_settings(machine: Machine, service: Service | None) -> dict[str, Json]:
    """All that a step on it may take by name."""
    given: dict[str, Json] = {**machine.settings, "address": machine.address}
    if service:
        check = {"probe": service.check.probe, **service.check.arguments}
        given |= {"unit": service.unit, "check": check, **service.settings}
    return given


def _seconds(spec: OperationSpec, service: Service | None) -> float:
    """What waits for a service's check may last as long as the service takes to start."""
    waits = service is not None and "check" in spec.arguments
    return max(spec.seconds, service.start_seconds) if waits and service else spec.seconds
