"""All machines are off, and neither broker nor anything else of ours runs: the whole fleet comes
back, over SSH and by the hypervisor, and orders go through the broker again once it is there."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from deploy.lab import lab as labs
from orchestrator.core.incident import State
from tests.cold.site import ColdSite, cold_site
from tests.integration.rig import wait_for

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ColdSite]:
    if reason := labs.why_not("nspawn"):
        pytest.skip(f"no lab of real machines here: {reason}")
    with cold_site(tmp_path_factory.mktemp("cold")) as made:
        yield made


def test_the_fleet_is_started_with_nothing_of_ours_running(site: ColdSite) -> None:
    run = site.call("recover", "full-system", "--direct")
    assert run["state"] == "resolved"
    assert {each["rung"] for each in run["steps"]} == {0}
    assert set(site.boots().values()) == {1}
    assert set(site.starts().values()) == {1}
    ways = {each["reason"].rpartition("(")[2] for each in run["steps"]}
    assert ways == {"over SSH)", "by the coordinator, without the agent)"}


def test_a_coordinator_without_its_broker_starts_the_fleet_unasked_and_goes_back_to_it(
    site: ColdSite,
) -> None:
    site.lab.power_all("kill")
    before = site.boots()
    with site.theatre.up():
        wait_for("its incident", lambda: begun(site) != [], seconds=90, pause=0.2)
        incident = site.ended(begun(site)[0])
        assert incident.state is State.RESOLVED, incident.reason
        assert incident.scenario == "full-system"
        assert {n - before[name] for name, n in site.boots().items()} == {1}
        assert set(site.starts().values()) == {1}
        said = site.said(incident.run, "way")
        assert any("over SSH: the broker is away since" in each for each in said), said
        site.broker.start()
        everybody = set(site.lab.machines)
        wait_for("the agents", lambda: heard(site) == everybody, seconds=60, pause=0.5)
        again = site.call("recover", "full-system")
        assert again["state"] == "resolved"
        assert site.said(again["id"], "way") == []
        assert {n - before[name] for name, n in site.boots().items()} == {1}
        assert set(site.starts().values()) == {1}


def begun(site: ColdSite) -> list[str]:
    """What the watcher began by itself."""
    with site.store() as store:
        return [each.run for each in store.runs() if each.failure and each.begun]


def heard(site: ColdSite) -> set[str]:
    told = site.theatre.call(*site.theatre.command("status", "--json"))
    machines = json.loads(told.stdout)["machines"]
    return {str(e["name"]) for e in machines if e["condition"] == "up"} & set(site.lab.machines)
