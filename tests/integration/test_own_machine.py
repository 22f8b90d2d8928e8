"""A step that ends the agent that carries it out: the run goes on when that is back (P3)."""

from __future__ import annotations

from contextlib import ExitStack

from orchestrator.core.fleet import StepTemplate
from orchestrator.core.incident import Incident, State
from tasks.contract import AGENT_UNIT, Outcome
from tests.integration import rig
from tests.integration.site import Site

#: `one` is the machine where the coordinator would be.
OWN_LAST = (
    StepTemplate("service.restart", "on-two"),
    StepTemplate("service.restart", "one", {"unit": AGENT_UNIT}),
)


def killed_by_its_own_step(site: Site) -> None:
    """The agent of `one` is restarted by its order, as systemd would restart it."""
    agent = site.agents["one"]
    rig.wait_for("the agent's end", lambda: agent.child.poll() is not None)
    agent.start()


def assert_once(site: Site, incident: Incident) -> None:
    assert incident.state is State.RESOLVED, incident.reason
    assert site.effects("two") == ["restart two.service"]
    assert site.effects("one") == [f"restart {AGENT_UNIT}"]
    assert [each.outcome for each in incident.steps] == [Outcome.DONE] * 2
    assert incident.steps[-1].reason.endswith("newly started (seen after a crash)")


def prepared(site: Site) -> None:
    site.start_agent("one")
    site.start_agent("two")
    one = site.directory / "one"
    (one / "units" / f"{AGENT_UNIT}.kills").write_text(str(one))


def test_an_agent_that_restarts_its_own_unit_reports_it_when_it_is_back(site: Site) -> None:
    prepared(site)
    opened = site.coordinator({"test": site.plan(OWN_LAST)}).recover("test", reason="a test")
    killed_by_its_own_step(site)
    assert_once(site, site.ended(opened.run))


def test_a_coordinator_that_ends_with_its_agent_goes_on_from_the_store(site: Site) -> None:
    prepared(site)
    plans = {"test": site.plan(OWN_LAST)}
    with ExitStack() as life:
        opened = site.coordinator(plans, life).recover("test", reason="a test")
        rig.wait_for("the last step", lambda: site.effects("one") != [])
    killed_by_its_own_step(site)
    site.coordinator(plans)
    assert_once(site, site.ended(opened.run))
