"""Killing processes in the middle: nothing is lost and no order takes effect twice (P3)."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from pathlib import Path

from orchestrator.core.events import Publish
from orchestrator.core.fleet import StepTemplate
from orchestrator.core.incident import Incident, State
from tasks.contract import Outcome
from tests.integration import rig
from tests.integration.site import Site

STEPS = (
    StepTemplate("service.restart", "on-one"),
    StepTemplate("service.restart", "on-two"),
)


def assert_recovered_without_repeats(site: Site, incident: Incident) -> None:
    """Every attempt that the coordinator ordered took effect at most once."""
    assert incident.state is State.RESOLVED, incident.reason
    for machine in ("one", "two"):
        ordered = [each for each in incident.steps if each.machine == machine]
        assert 1 <= len(site.effects(machine)) <= len(ordered)
        assert ordered[-1].outcome in (Outcome.DONE, Outcome.UNCHANGED)


def test_an_agent_killed_in_the_middle_gets_its_order_back_and_does_not_repeat_it(
    site: Site,
) -> None:
    coordinator = site.coordinator({"test": site.plan(STEPS)})
    agent = site.start_agent("one")
    site.start_agent("two")
    site.slow("one", 2)
    opened = coordinator.recover("test", reason="a test")
    rig.wait_for("the effect", lambda: site.effects("one") != [])
    agent.kill()
    agent.start()
    # Well below any visibility time-out: the order comes back when the agent does.
    assert_recovered_without_repeats(site, site.ended(opened.run, seconds=40))


def test_an_agent_is_succeeded_while_the_broker_still_believes_in_its_lost_machine(
    site: Site, tmp_path: Path
) -> None:
    coordinator = site.coordinator({"test": site.plan(STEPS)})
    site.start_agent("two")
    lost = site.start_agent("one")
    first = coordinator.recover("test", reason="a test")
    assert site.ended(first.run).state is State.RESOLVED
    # Its connections stay, and nobody is at their other end.
    os.killpg(lost.child.pid, signal.SIGSTOP)
    try:
        site.start_agent("one", AUTOBOT_DR_STATE=str(tmp_path / "state"))
        # Valkey still answers a question of the lost one's for a second.
        rig.wait_for("its successor", (tmp_path / "state" / "journal.db").exists)
        opened = coordinator.recover("test", reason="a test")
        assert site.ended(opened.run, seconds=90).state is State.RESOLVED
        assert len(site.effects("one")) == len(site.effects("two")) == 2
    finally:
        lost.kill()


def test_an_agent_that_is_away_finds_its_order_when_it_comes(site: Site) -> None:
    coordinator = site.coordinator({"test": site.plan(STEPS)})
    site.start_agent("one")
    opened = coordinator.recover("test", reason="a test")
    rig.wait_for("the first step", lambda: site.effects("one") != [])
    site.start_agent("two")
    incident = site.ended(opened.run)
    assert_recovered_without_repeats(site, incident)
    assert len(site.effects("two")) == 1


def test_a_broker_killed_in_the_middle_of_a_step_loses_and_repeats_nothing(site: Site) -> None:
    coordinator = site.coordinator({"test": site.plan(STEPS)})
    site.start_agent("one")
    site.start_agent("two")
    site.slow("one", 2)
    opened = coordinator.recover("test", reason="a test")
    rig.wait_for("the effect", lambda: site.effects("one") != [])
    site.broker.kill()
    site.broker.start()
    incident = site.ended(opened.run, seconds=100)
    assert_recovered_without_repeats(site, incident)


def test_the_chain_goes_on_while_the_coordinator_is_away(site: Site) -> None:
    plans = {"test": site.plan(STEPS)}
    site.start_agent("one")
    site.start_agent("two")
    site.slow("one", 3)
    with ExitStack() as life:
        coordinator = site.coordinator(plans, life)
        opened = coordinator.recover("test", reason="a test")
        rig.wait_for("the effect", lambda: site.effects("one") != [])
    rig.wait_for("the second machine's turn", lambda: site.effects("two") != [])
    assert site.store.load(opened.run) is not None
    site.coordinator(plans)
    incident = site.ended(opened.run)
    assert_recovered_without_repeats(site, incident)
    assert len(incident.steps) == 2, "no step needed a second attempt"


def test_a_chain_that_is_published_twice_is_carried_out_once(site: Site) -> None:
    coordinator = site.coordinator({"test": site.plan(STEPS)})
    opened = coordinator.recover("test", reason="a test")
    stored = site.store.load(opened.run)
    assert stored is not None
    effect = Publish(0, 0, site.orders(stored.incident), 60)
    site.publisher.publish(stored.incident, effect)
    site.start_agent("one")
    site.start_agent("two")
    incident = site.ended(opened.run)
    assert incident.state is State.RESOLVED
    assert site.effects("one") == ["restart one.service"]
    assert site.effects("two") == ["restart two.service"]


def test_an_effect_decided_while_the_broker_was_away_is_sent_when_it_is_back(site: Site) -> None:
    coordinator = site.coordinator({"test": site.plan(STEPS)})
    site.start_agent("one")
    site.start_agent("two")
    site.broker.kill()
    opened = coordinator.recover("test", reason="a test")
    assert site.effects("one") == []
    site.broker.start()
    assert_recovered_without_repeats(site, site.ended(opened.run, seconds=100))
