"""Own machine last: steps that end the agent that carries them out, and where they may stand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.core.compiling import compile_plan
from orchestrator.core.fleet import Each, Fleet, Rung, StepTemplate
from orchestrator.core.graph import put_last
from orchestrator.core.plan import OperationSpec, Plan
from tasks.contract import Json
from tests.core.worlds import CATALOG, Operations, fleet, rung, scenario, service


def spec(
    *names: str, control: bool = False, ends: str = "", returns: bool = False
) -> OperationSpec:
    return OperationSpec(names, 30, False, control, ends, returns)


OPERATIONS = Operations(
    {
        **CATALOG.specs,
        "service.restart": spec("unit", "check", ends="unit", returns=True),
        "service.stop": spec("unit", ends="unit"),
        "machine.restart": spec("agent_unit", ends="machine", returns=True),
        "vm.restart": spec("vm", control=True, ends="machine"),
    },
    needed=("unit", "vm"),
)

#: api runs beside the coordinator; web needs it, side does not.
SHARED = replace(
    fleet(
        service("db", "m1"),
        service("api", "m2", "db"),
        service("web", "m3", "api"),
        service("side", "m4", optional=True),
    ),
    control="m2",
)
EVERYTHING = tuple(SHARED.services)
#: As `autobot-dr up` runs it.
UP = replace(
    SHARED,
    machines={
        **SHARED.machines,
        "m2": replace(SHARED.machines["m2"], settings={"agent_unit": "autobot-dr"}),
    },
)


def compiled(*ladder: Rung, of: Fleet = SHARED) -> Plan:
    plan = compile_plan(scenario(*ladder, services=EVERYTHING), of, OPERATIONS)
    assert isinstance(plan, Plan), plan
    return plan


def faults(*ladder: Rung, of: Fleet = SHARED) -> list[str]:
    found = compile_plan(scenario(*ladder, services=EVERYTHING), of, OPERATIONS)
    assert not isinstance(found, Plan)
    return [str(each) for each in found]


def on(operation: str, target: str, **arguments: Json) -> StepTemplate:
    return StepTemplate(operation, target, arguments)


def order(plan: Plan) -> dict[str, tuple[list[str], list[str]]]:
    """What each branch of the first rung needs, and what it awaits besides."""
    branches = plan.rungs[0].branches
    return {
        each.name: (
            [branches[n].name for n in each.needs],
            [branches[n].name for n in each.awaits],
        )
        for each in branches
    }


def test_the_own_machine_is_restarted_after_all_that_do_not_wait_for_it() -> None:
    plan = compiled(rung("machine.restart", each=Each.MACHINE))
    assert order(plan) == {
        "m1": ([], []),
        "m4": ([], []),
        "m2": (["m1"], ["m4"]),
        "m3": (["m2"], []),
        "everything": (["m1", "m2", "m3"], ["m4"]),
    }


def test_the_own_machine_waits_for_nobody_where_nothing_ends_its_agent() -> None:
    plan = compiled(Rung("start", (on("service.restart", "services"),), each=Each.MACHINE))
    assert order(plan)["m2"] == (["m1"], []), "an optional machine holds up nothing"


def test_the_coordinators_own_agent_is_restarted_after_the_others() -> None:
    unit = on("service.restart", "", unit="autobot-dr.service")
    assert order(compiled(Rung("agents", (unit,), each=Each.MACHINE), of=UP))["m2"] == (
        ["m1"],
        ["m4"],
    )


def test_what_is_for_a_machine_that_may_be_off_is_not_for_the_own_one() -> None:
    """It needs no hypervisor of its own then, and is not shut down with nobody to start it."""
    bare = replace(
        SHARED,
        machines={**SHARED.machines, "m2": replace(SHARED.machines["m2"], settings={})},
    )
    steps = (on("vm.start", ""), on("vm.restart", ""), on("service.restart", "services"))
    plan = compiled(Rung("start", steps, each=Each.MACHINE), of=bare)
    made = {b.name: [s.operation for s in b.steps] for b in plan.rungs[0].branches}
    assert made["m2"] == ["service.restart"]
    assert made["m1"] == ["vm.start", "vm.restart", "service.restart"]


@pytest.mark.parametrize(
    ("step", "of"),
    [
        (on("machine.restart", "m2"), SHARED),
        (on("service.restart", "m2", unit="autobot-dr-agent"), SHARED),
        (on("service.restart", "m2", unit="autobot-dr"), UP),
        (on("service.restart", "m1", unit="autobot-dr-agent.service"), UP),
    ],
)
def test_a_step_that_ends_its_own_agent_is_the_last_of_its_branch(
    step: StepTemplate, of: Fleet
) -> None:
    after = StepTemplate("journal.tail", "db")
    assert compiled(Rung("own", (after, step)), of=of)
    (found,) = faults(Rung("own", (step, after)), of=of)
    assert found.startswith(
        f"scenario test, rung 1 (own), step 1 ({step.operation}): ends the agent of"
    )
    assert "make it the last step" in found


@pytest.mark.parametrize(
    "step",
    [on("vm.restart", "m2"), on("service.stop", "m2", unit="autobot-dr-agent")],
)
def test_what_nothing_brings_back_is_never_accepted(step: StepTemplate) -> None:
    (found,) = faults(Rung("own", (step,)))
    assert "would end the agent of m2, which carries it out, and nothing would bring that" in found


@pytest.mark.parametrize(
    "step",
    [
        on("vm.restart", "m1"),
        on("machine.restart", "m1"),
        on("service.restart", "api"),
        on("service.restart", "m2", unit="autobot-dr-agent"),
    ],
)
def test_what_ends_others_stands_anywhere(step: StepTemplate) -> None:
    assert compiled(Rung("others", (step, StepTemplate("journal.tail", "db"))), of=UP)


def test_last_is_after_all_but_those_that_wait_for_it() -> None:
    graph = {
        "a": frozenset[str](),
        "b": frozenset({"a"}),
        "c": frozenset({"b"}),
        "d": frozenset({"a"}),
    }
    assert put_last(graph, "b") == {**graph, "b": frozenset({"a", "d"})}
    assert put_last(graph, "a") == graph
