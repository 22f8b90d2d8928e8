"""Which way a branch goes, with a real broker, real agents and a real sshd for each machine."""

from __future__ import annotations

import pytest

from orchestrator.core.fleet import StepTemplate
from orchestrator.core.incident import State
from tasks.contract import Outcome
from tests.integration import rig
from tests.integration.far import CONTROL, FarMachines
from tests.integration.test_direct import STEPS, ended, far

__all__ = ["far"]


def ways(far: FarMachines, run: str) -> list[str]:
    return [
        e.text
        for e in far.store.timeline(run)
        if e.kind == "way" and "by the coordinator" in e.text
    ]


def test_a_dead_agent_is_passed_by_and_refuses_its_old_order_when_it_is_back(
    far: FarMachines, broker: rig.Broker
) -> None:
    coordinator = far.through_a_broker(far.plan(STEPS), broker.url, patience=60)
    old = coordinator.recover("test", reason="nobody takes it").run
    coordinator.cancel(old, "a test")
    far.silent = ("one",)
    run = coordinator.recover("test", reason="a test").run
    incident = ended(far, run)
    assert incident.state is State.RESOLVED, incident.reason
    (way,) = ways(far, run)
    assert way.endswith("the agent of one does not answer, its SSH server does")
    far.start_agent("one", broker.url)
    rig.wait_for("its word on the old order", lambda: far.store.reports(old) != [])
    (refused,) = far.store.reports(old)
    assert (refused.outcome, refused.reason.split(":")[0]) == (Outcome.REFUSED, "stale")
    assert far.effects("one") == ["restart one.service"]


@pytest.mark.parametrize("broker", ["valkey"], indirect=True)
def test_an_agent_that_comes_back_in_the_middle_waits_and_then_refuses(
    far: FarMachines, broker: rig.Broker
) -> None:
    (far.units("one") / "seconds").write_text("6")
    coordinator = far.through_a_broker(far.plan(STEPS), broker.url, patience=60)
    old = coordinator.recover("test", reason="nobody takes it").run
    coordinator.cancel(old, "a test")
    far.silent = ("one",)
    run = coordinator.recover("test", reason="a test").run
    rig.wait_for("the step over SSH", lambda: far.effects("one") != [])
    far.start_agent("one", broker.url)
    incident = ended(far, run)
    assert incident.state is State.RESOLVED, incident.reason
    rig.wait_for("its word on the old order", lambda: far.store.reports(old) != [])
    (refused,) = far.store.reports(old)
    assert (refused.outcome, refused.reason.split(":")[0]) == (Outcome.REFUSED, "stale")
    assert far.effects("one") == ["restart one.service"]


def test_what_a_dead_agent_of_our_own_machine_should_do_is_done_here(
    far: FarMachines, broker: rig.Broker
) -> None:
    reachable = StepTemplate("machine.reachable", "one", {"ssh_port": far.doors["one"].port})
    coordinator = far.through_a_broker(far.plan([reachable]), broker.url, patience=60)
    far.silent = (CONTROL,)
    run = coordinator.recover("test", reason="a test").run
    incident = ended(far, run)
    assert incident.state is State.RESOLVED, incident.reason
    assert incident.steps[0].reason.endswith("(by the coordinator, without the agent)")
    (way,) = ways(far, run)
    assert way.endswith("the agent of control does not answer, and the coordinator is there")


def test_a_living_agent_is_not_passed_by(far: FarMachines, broker: rig.Broker) -> None:
    coordinator = far.through_a_broker(far.plan(STEPS), broker.url, patience=60)
    for machine in ("one", "two"):
        far.start_agent(machine, broker.url)
    run = coordinator.recover("test", reason="a test").run
    incident = ended(far, run)
    assert incident.state is State.RESOLVED, incident.reason
    assert ways(far, run) == []
    assert not any("SSH" in each.reason for each in incident.steps)


def test_without_the_broker_a_run_goes_over_ssh_and_nothing_is_repeated_when_it_is_back(
    far: FarMachines, broker: rig.Broker
) -> None:
    coordinator = far.through_a_broker(far.plan(STEPS), broker.url, patience=2)
    broker.kill()
    run = coordinator.recover("test", reason="a test").run
    incident = ended(far, run)
    assert incident.state is State.RESOLVED, incident.reason
    assert "the broker is away since" in ways(far, run)[0]
    broker.start()
    for machine in ("one", "two"):
        far.start_agent(machine, broker.url)
    rig.wait_for("the broker", coordinator.publisher.listening)
    # By the broker again, in the order of the steps: what was waiting would have come first.
    again = ended(far, coordinator.recover("test", reason="once more").run)
    assert again.state is State.RESOLVED, again.reason
    assert ways(far, again.run) == []
    assert far.effects("one") == ["restart one.service"] * 2
    assert far.effects("two") == ["restart two.service"] * 2


@pytest.mark.parametrize("broker", ["valkey"], indirect=True)
def test_what_a_lost_broker_had_taken_goes_on_over_ssh(
    far: FarMachines, broker: rig.Broker
) -> None:
    """Nobody has the orders any more, and one of them is in the middle."""
    (far.units("one") / "seconds").write_text("3")
    coordinator = far.through_a_broker(far.plan(STEPS), broker.url, patience=2)
    for machine in ("one", "two"):
        far.start_agent(machine, broker.url)
    run = coordinator.recover("test", reason="a test").run
    rig.wait_for("the first step", lambda: far.effects("one") != [])
    broker.kill()
    incident = ended(far, run)
    assert incident.state is State.RESOLVED, incident.reason
    assert len(ways(far, run)) == 1
    assert [each.attempt for each in incident.steps] == [1, 1]
    broker.start()
    rig.wait_for("the broker", coordinator.publisher.listening)
    again = ended(far, coordinator.recover("test", reason="once more").run)
    assert again.state is State.RESOLVED, again.reason
    assert ways(far, again.run) == []
    for machine in ("one", "two"):
        assert far.effects(machine) == [f"restart {machine}.service"] * 2
