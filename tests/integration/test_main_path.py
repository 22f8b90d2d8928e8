"""One order through a real broker to a real agent, and back."""

from __future__ import annotations

from orchestrator.core.fleet import StepTemplate
from orchestrator.core.incident import State
from tasks.contract import Outcome
from tests.integration.site import Site

RESTARTS = (
    StepTemplate("service.restart", "on-one"),
    StepTemplate("service.restart", "on-two"),
    StepTemplate("service.restart", "on-one"),
)


def test_a_chain_over_two_machines_is_carried_out_once_and_verified(site: Site) -> None:
    coordinator = site.coordinator({"test": site.plan(RESTARTS)})
    site.start_agent("one")
    site.start_agent("two")
    opened = coordinator.recover("test", reason="a test")
    incident = site.ended(opened.run)
    assert incident.state is State.RESOLVED, incident.reason
    assert [each.outcome for each in incident.steps] == [Outcome.DONE] * 3
    assert site.effects("one") == ["restart one.service"] * 2
    assert site.effects("two") == ["restart two.service"]
