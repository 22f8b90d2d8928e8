"""Connections that die in silence: nobody waits at one for ever, and nothing is done twice."""

from __future__ import annotations

import pytest

from orchestrator.core.fleet import StepTemplate
from orchestrator.core.incident import State
from tests.integration import rig
from tests.integration.dead_ends import DeadEnds
from tests.integration.site import Site

#: Each word into a dead connection is waited for for ten seconds.
pytestmark = pytest.mark.long

STEPS = (StepTemplate("service.restart", "on-one"), StepTemplate("service.restart", "on-two"))


def test_an_agent_whose_connections_died_in_the_middle_of_a_step_goes_on(site: Site) -> None:
    way = DeadEnds(site.broker.port)
    way.start()
    site.stack.callback(way.close)
    coordinator = site.coordinator({"test": site.plan(STEPS)})
    url = site.broker.url.replace(str(site.broker.port), str(way.port))
    site.start_agent("one", AUTOBOT_DR_BROKER_URL=url)
    site.start_agent("two")
    site.slow("one", 2)
    first = coordinator.recover("test", reason="a test")
    rig.wait_for("the effect", lambda: site.effects("one") != [])
    # Its report, the next order and all that it says of itself go into one of these.
    way.cut()
    assert site.ended(first.run, seconds=90).state is State.RESOLVED
    assert len(site.effects("one")) == len(site.effects("two")) == 1
    assert site.ended(coordinator.recover("test", reason="more").run).state is State.RESOLVED
    assert len(site.effects("one")) == len(site.effects("two")) == 2
