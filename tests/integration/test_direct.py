"""Runs over SSH, without a broker: the same orders, the same journal, never twice (P2, P3, P7)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.core.fleet import StepTemplate
from orchestrator.core.incident import ENDED, Incident, State
from orchestrator.core.steps import orders_for
from orchestrator.store import open_store
from orchestrator.takingin import agents_of, direct_store, in_use, take_in
from tasks.contract import AGENT_UNIT, Outcome, WorkOrder
from tasks.host import LocalHost
from tasks.signing import private_key, public_key, sign
from tests.integration.far import FarMachines
from tests.integration.rig import wait_for
from workers.executor import Executor, Identity
from workers.journal import Journal
from workers.ledger import JOURNAL

STEPS = (
    StepTemplate("service.restart", "on-one"),
    StepTemplate("service.restart", "on-two"),
)


@pytest.fixture
def far(tmp_path: Path) -> Iterator[FarMachines]:
    with ExitStack() as stack:
        yield FarMachines(tmp_path, stack)


def ended(far: FarMachines, run: str) -> Incident:
    def over() -> bool:
        stored = far.store.load(run)
        return stored is not None and stored.incident.state in ENDED

    wait_for(f"the end of run {run}", over, seconds=60)
    stored = far.store.load(run)
    assert stored is not None
    return stored.incident


def journal(far: FarMachines, machine: str) -> Journal:
    return Journal(far.directory / machine / JOURNAL)


def agent(far: FarMachines, machine: str, monkeypatch: pytest.MonkeyPatch) -> Executor:
    """What an agent does with an order, on that machine's journal and its systemd."""
    environment = far.agent_environment(machine, "")
    monkeypatch.setenv("PATH", environment["PATH"])
    monkeypatch.setenv("FAKE_SYSTEMD", environment["FAKE_SYSTEMD"])
    key, coordinator = far.keys[machine][0], far.keys["coordinator"][1]
    identity = Identity(machine, private_key(key), public_key(coordinator), far.directory / machine)
    return Executor(identity, journal(far, machine), LocalHost())


def order(far: FarMachines, incident: Incident, step: int = 0) -> WorkOrder:
    (made,) = orders_for(incident, [incident.steps[step]])
    return sign(made, private_key(far.keys["coordinator"][0]))


def an_order(epoch: int = 1) -> WorkOrder:
    """Of another run, for the service on `one`."""
    return WorkOrder(
        incident="inc-other",
        run="other",
        epoch=epoch,
        rung=0,
        step=0,
        attempt=1,
        agent="one",
        machine="one",
        service="on-one",
        operation="service.restart",
        arguments={},
        not_after=0.0,
        seconds=1.0,
    )


def test_a_run_is_carried_out_over_ssh_and_verified(far: FarMachines) -> None:
    opened = far.coordinator(far.plan(STEPS)).recover("test", reason="a test")
    incident = ended(far, opened.run)
    assert incident.state is State.RESOLVED, incident.reason
    assert [each.outcome for each in incident.steps] == [Outcome.DONE] * 2
    assert all(each.reason.endswith("(over SSH)") for each in incident.steps)
    assert far.effects("one") == ["restart one.service"]
    assert far.effects("two") == ["restart two.service"]
    assert journal(far, "one").highest_epoch("one") == incident.epoch


def test_an_agent_that_comes_back_does_not_repeat_what_was_done_over_ssh(
    far: FarMachines, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = far.coordinator(far.plan(STEPS)).recover("test", reason="a test")
    incident = ended(far, opened.run)
    back = agent(far, "one", monkeypatch)
    report = back.handle(order(far, incident).to_wire(), sent_as="service.restart")
    assert report.reason.endswith("(over SSH)")
    stale = sign(
        replace(order(far, incident), incident="inc-0", epoch=incident.epoch - 1),
        private_key(far.keys["coordinator"][0]),
    )
    refused = back.handle(stale.to_wire(), sent_as="service.restart")
    assert (refused.outcome, refused.reason.split(":")[0]) == (Outcome.REFUSED, "stale")
    assert far.effects("one") == ["restart one.service"]
    # What the coordinator may have lost is told again by the agent.
    assert [each.order for each in journal(far, "one").unsent()] == [report.order]


def test_a_stale_run_is_refused_over_ssh_too(far: FarMachines) -> None:
    journal(far, "one").begin(an_order(epoch=2_000_000_099), {}, 0.0)
    run = far.coordinator(far.plan(STEPS)).recover("test", reason="a test").run
    incident = ended(far, run)
    assert incident.state is State.ESCALATED
    said = f"stale: epoch {incident.epoch}, but one has obeyed epoch 2000000099"
    assert incident.steps[0].reason.startswith(said)
    assert far.effects("one") == []
    # It was believed: the next run is not refused.
    again = ended(far, far.coordinator(far.plan(STEPS)).recover("test", reason="once more").run)
    assert again.state is State.RESOLVED


def test_a_dead_agent_is_started_before_the_first_step(far: FarMachines) -> None:
    (far.units("one") / f"{AGENT_UNIT}.dead").touch()
    opened = far.coordinator(far.plan(STEPS)).recover("test", reason="a test")
    incident = ended(far, opened.run)
    assert incident.state is State.RESOLVED, incident.reason
    assert far.effects("one") == [f"start {AGENT_UNIT}", "restart one.service"]
    said = [each.text for each in far.store.timeline(opened.run) if each.kind == "way"]
    assert said == [
        f"one: its agent's unit {AGENT_UNIT} was failed (failed), and is being started over SSH",
        f"two: its agent's unit {AGENT_UNIT} is active (running), and is left alone",
        f"one: its agent's unit {AGENT_UNIT} is active (running) again",
    ]


def test_work_that_the_agent_is_in_the_middle_of_is_waited_for(far: FarMachines) -> None:
    with journal(far, "one").alone_on(an_order()):
        run = far.coordinator(far.plan(STEPS)).recover("test", reason="a test").run
        wait_for("the machine", lambda: any(e.kind == "way" for e in far.store.timeline(run)))
        assert far.effects("one") == []
    assert ended(far, run).state is State.RESOLVED
    assert far.effects("one") == ["restart one.service"]


def test_a_run_without_the_store_is_taken_in_when_that_is_back(
    far: FarMachines, tmp_path: Path
) -> None:
    journal(far, "one").begin(an_order(epoch=2_000_000_041), {}, 0.0)
    back, plan = open_store(f"sqlite:///{tmp_path}/store.db"), far.plan(STEPS)
    far.store = apart = open_store(f"sqlite:///{direct_store(tmp_path)}")
    apart.epoch_at_least(far.carrier().top_epoch(agents_of(plan)))
    with in_use(tmp_path):
        run = far.coordinator(plan).recover("test", reason="a test").run
        incident = ended(far, run)
        assert (incident.state, incident.epoch) == (State.RESOLVED, 2_000_000_042)
        assert take_in(back, tmp_path, 1.0) == 0
    far.stack.callback(back.close)
    assert (take_in(back, tmp_path, 2.0), take_in(back, tmp_path, 3.0)) == (1, 0)
    stored = back.load(run)
    assert stored is not None
    assert stored.incident == replace(incident, epoch=stored.incident.epoch)
    assert stored.incident.epoch > 2_000_000_042
    assert len(back.reports(run)) == 2
    assert back.timeline(run)[-1].text == "taken in, carried out with epoch 2000000042"


def test_a_machine_that_lets_nobody_in_fails_the_step_with_the_reason(far: FarMachines) -> None:
    (far.doors["one"].home / "known_hosts").write_text("")
    run = far.coordinator(far.plan(STEPS)).recover("test", reason="a test").run
    incident = ended(far, run)
    assert incident.state is State.ESCALATED
    assert incident.steps[0].outcome is Outcome.FAILED
    assert "not begun: " in incident.steps[0].reason
    assert "its host key (ssh-ed25519 " in incident.steps[0].reason
    assert far.effects("one") == far.effects("two") == []
