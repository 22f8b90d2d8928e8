"""Compiling a scenario for a fleet: what is bound to what, and every fault at once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.core.compiling import compile_plan
from orchestrator.core.fleet import Approval, Each, Fleet, Rung, Scenario, StepTemplate
from orchestrator.core.plan import Branch, Fault, Plan
from tests.core.worlds import (
    ALL_MACHINES,
    CATALOG,
    EVERYTHING,
    REBOOT,
    RESTART,
    SMALL,
    fleet,
    plan,
    rung,
    scenario,
    service,
)


def faults(scenario: Scenario, of: Fleet = SMALL) -> list[str]:
    compiled = compile_plan(scenario, of, CATALOG)
    assert not isinstance(compiled, Plan)
    return [str(each) for each in compiled]


def only_branch(compiled: Plan) -> Branch:
    (branch,) = compiled.rungs[0].branches
    return branch


def test_a_ladder_becomes_rungs_with_their_steps_bound_to_the_first_service() -> None:
    compiled = plan(RESTART, replace(REBOOT, approval=Approval.ASK), services=("api", "web"))
    assert [each.title for each in compiled.rungs] == ["restart", "restart the VM"]
    assert [each.approval for each in compiled.rungs] == [Approval.AUTO, Approval.ASK]
    branch = only_branch(compiled)
    assert [each.operation for each in branch.steps] == ["service.status", "service.restart"]
    assert {(e.agent, e.machine, e.service) for e in branch.steps} == {("m4", "m4", "api")}
    assert branch.checks == branch.required == ("api", "web")
    assert branch.check_seconds == 40
    assert not branch.optional


def test_what_reaches_the_hypervisor_runs_on_the_control_machine() -> None:
    step = only_branch(plan(rung("vm.start"))).steps[0]
    assert (step.agent, step.machine) == ("control", "m4")
    assert step.arguments == {"vm": "VM-m4"}


def test_arguments_come_by_name_from_the_machine_the_service_and_the_step() -> None:
    api = replace(service("api", "m4"), settings={"lines": 30, "strange": 1})
    compiled = plan(rung("journal.tail", "service.restart"), of=fleet(api))
    tail, restart = only_branch(compiled).steps
    assert tail.arguments == {"unit": "api.service", "lines": 30}
    check = {"probe": "http", "port": 80, "path": "/api"}
    assert restart.arguments == {"unit": "api.service", "check": check}
    own = Rung("own", (StepTemplate("journal.tail", arguments={"lines": 9}),))
    assert only_branch(plan(own, of=fleet(api))).steps[0].arguments["lines"] == 9


def test_a_step_lasts_as_long_as_it_says_or_the_operation_or_the_start_it_waits_for() -> None:
    own = Rung("own", (StepTemplate("service.status", seconds=77),))
    assert only_branch(plan(own)).steps[0].seconds == 77
    status, restart = only_branch(plan(RESTART)).steps
    assert status.seconds == 5
    assert restart.seconds == 40, "it waits for the check, and the service takes that long"


def test_a_step_may_name_another_service_or_a_machine() -> None:
    assert only_branch(plan(rung("service.restart", on="db"))).steps[0].machine == "m1"
    step = only_branch(plan(rung("vm.start", on="m2"))).steps[0]
    assert (step.machine, step.service) == ("m2", "")


def test_a_rung_for_each_machine_has_what_each_needs_and_a_look_at_the_end() -> None:
    (compiled,) = plan(ALL_MACHINES, services=EVERYTHING).rungs
    names = [[branch.name for branch in wave] for wave in compiled.waves]
    assert names == [["m1"], ["m2", "m3"], ["m4"], ["m5"], ["everything"]]
    needs = [(each.name, each.needs, each.awaits) for each in compiled.branches]
    assert needs == [
        ("m1", (), ()),
        ("m2", (0,), ()),
        ("m3", (0,), ()),
        ("m4", (0, 1), ()),
        ("m5", (3,), ()),
        ("everything", (0, 1, 3, 4), (2,)),
    ]
    steps = [step for branch in compiled.branches for step in branch.steps]
    assert [each.number for each in steps] == list(range(5)), "numbered through the rung"
    last = compiled.branches[-1]
    assert last.steps == ()
    assert set(last.checks) == set(EVERYTHING)
    assert set(last.required) == set(EVERYTHING) - {"npu"}


def test_an_optional_machine_holds_up_nothing_and_an_optional_scenario_must_work() -> None:
    wave = plan(ALL_MACHINES, services=EVERYTHING).rungs[0].waves[1]
    assert [(each.name, each.optional, each.required) for each in wave] == [
        ("m2", False, ("cache",)),
        ("m3", True, ("npu",)),
    ]
    alone = only_branch(plan(RESTART, services=("npu",)))
    assert (alone.required, alone.optional) == (("npu",), False)
    beside = only_branch(plan(RESTART, services=("db", "npu")))
    assert beside.required == ("db",)


def test_on_services_repeats_a_step_for_each_service_of_the_machine_in_order() -> None:
    of = fleet(
        service("web", "m1", "api"),
        service("api", "m1", "db"),
        service("db", "m1"),
        service("side", "m2"),
    )
    each = rung("vm.start", "service.restart", each=Each.MACHINE)
    steps = (each.steps[0], replace(each.steps[1], on="services"))
    compiled = plan(replace(each, steps=steps), services=("web", "api", "db", "side"), of=of)
    (first, second), _ = compiled.rungs[0].waves
    assert [(e.operation, e.service) for e in first.steps] == [
        ("vm.start", ""),
        ("service.restart", "db"),
        ("service.restart", "api"),
        ("service.restart", "web"),
    ]
    assert first.checks == ("db", "api", "web")
    assert [e.service for e in second.steps] == ["", "side"]


def test_every_fault_is_found_at_once_each_with_its_place() -> None:
    ladder = (
        rung("service.dance", title="one"),
        Rung("two", (StepTemplate("service.restart", on="nobody"),)),
        Rung("three", (StepTemplate("journal.tail", arguments={"lanes": 3}),)),
        rung("service.restart", title="four", on="m1"),
    )
    found = compile_plan(scenario(*ladder, services=("api", "ghost", "phantom")), SMALL, CATALOG)
    known = "journal.tail, service.restart, service.status, vm.start"
    targets = "db, cache, npu, api, web, control, m1, m2, m3, m4, m5"
    remedy = "give it in the step or in"
    assert found == (
        Fault("scenario test, services", "'ghost' is not a service of fleet 'small'"),
        Fault("scenario test, services", "'phantom' is not a service of fleet 'small'"),
        Fault(
            "scenario test, rung 1 (one), step 1 (service.dance)",
            f"there is no such operation (known: {known})",
        ),
        Fault(
            "scenario test, rung 2 (two), step 1 (service.restart)",
            f"'nobody' is neither a service nor a machine (known: {targets})",
        ),
        Fault(
            "scenario test, rung 3 (three), step 1 (journal.tail)",
            f"'lanes' is not an argument of it; {remedy} service 'api'",
        ),
        Fault(
            "scenario test, rung 4 (four), step 1 (service.restart)",
            f"'unit' is missing; {remedy} machine 'm1'",
        ),
    )


def test_a_fault_of_a_step_for_each_machine_is_told_once() -> None:
    found = faults(scenario(rung("vm.fly", each=Each.MACHINE), services=EVERYTHING))
    assert len(found) == 1


@pytest.mark.parametrize(
    ("services", "ladder", "said"),
    [
        ((), (RESTART,), "services: name at least one service"),
        (("ghost",), (RESTART,), "services: 'ghost' is not a service"),
        (("api",), (), "ladder: has no rung"),
    ],
)
def test_a_scenario_of_nothing_is_a_fault(
    services: tuple[str, ...], ladder: tuple[Rung, ...], said: str
) -> None:
    (found,) = faults(scenario(*ladder, services=services))
    assert said in found


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (
            fleet(service("a", "m1", "b"), service("b", "m1", "a")),
            "the services wait for each other in a circle",
        ),
        (
            fleet(service("a", "m1", "b"), service("b", "m2", "c"), service("c", "m1")),
            "the machines wait for each other in a circle",
        ),
    ],
)
def test_a_circle_is_a_fault_with_its_place(of: Fleet, said: str) -> None:
    (found,) = faults(scenario(ALL_MACHINES, services=tuple(of.services)), of)
    assert said in found
    assert "rung 1 (start all)" in found
    assert "→" in found


def test_a_fault_reads_as_place_and_message() -> None:
    assert str(Fault("here", "is wrong")) == "here: is wrong"
