"""The way in when a machine's agent, or everything of ours, is down: on a real systemd machine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from deploy.lab import lab as labs
from deploy.lab.machines import AGENT
from deploy.lab.stage import Theatre, configure_agents
from tasks import catalog
from tests.integration.rig import wait_for

pytestmark = pytest.mark.timeout(300)

Run = Mapping[str, Any]
MACHINE = "redis"


@pytest.fixture(scope="module")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theatre]:
    """One machine on; neither broker nor coordinator."""
    if reason := labs.why_not("nspawn"):
        pytest.skip(f"no lab of real machines here: {reason}")
    place = tmp_path_factory.mktemp("cold")
    lab = labs.prepare("nspawn", place / "lab")
    try:
        theatre = Theatre(lab, place / "home")
        lab.power_all("start", [MACHINE])
        lab.wait_booted([MACHINE])
        yield theatre
    finally:
        lab.down()


def recovered(theatre: Theatre, *words: str) -> Run:
    done = theatre.call(*theatre.command("recover", MACHINE, *words, "--json"))
    assert done.returncode == 0, done.stdout + done.stderr
    run: Run = json.loads(done.stdout)
    assert run["state"] == "resolved", done.stdout
    return run


def said(run: Run) -> list[str]:
    return [each["text"] for each in run["timeline"] if each["kind"] == "way"]


def first_effect(run: Run) -> float:
    """Seconds from the opening to the first step that changed something."""
    acts = {name for name, each in catalog.operations().items() if not each.only_looks}
    changed = [e for e in run["steps"] if e["outcome"] == "done" and e["operation"] in acts]
    first = min(datetime.fromisoformat(each["started_at"]) for each in changed)
    return (first - datetime.fromisoformat(run["opened_at"])).total_seconds()


def journal(theatre: Theatre) -> Path:
    return Path(theatre.lab.kept(MACHINE), "state", "journal.db")


def test_redis_is_brought_back_with_nothing_of_ours_running(theatre: Theatre) -> None:
    # Its agent knows of a broker that is not there.
    configure_agents(theatre.lab, theatre.home, f"redis://{theatre.lab.coordinator_address}:1/0")
    theatre.lab.inside(MACHINE, ["systemctl", "stop", "redis-stack-server"])
    run = recovered(theatre, "--direct")
    assert {each["rung"] for each in run["steps"]} == {0}
    assert all(each["reason"].endswith("(over SSH)") for each in run["steps"])
    assert journal(theatre).exists()
    assert any("is being started over SSH" in each for each in said(run))
    print(f"ssh_first_effect_s, without a coordinator: {first_effect(run):.2f}")
    wait_for("its agent", lambda: active(theatre, AGENT))


def test_a_dead_agent_is_passed_by_and_comes_back(theatre: Theatre) -> None:
    with theatre.up():
        # It has the broker's address only now.
        theatre.lab.inside(MACHINE, ["systemctl", "restart", AGENT])
        wait_for("the agent", lambda: condition(theatre) == "up", seconds=60, pause=0.5)
        # The watcher would be faster than the command line.
        theatre.ask("maintenance", "start", "--for", "1h", "--reason", "a test by hand")
        theatre.lab.inside(MACHINE, ["systemctl", "stop", AGENT])
        wait_for(
            "its silence", lambda: condition(theatre) == "without agent", seconds=60, pause=0.5
        )
        theatre.lab.inside(MACHINE, ["systemctl", "stop", "redis-stack-server"])
        run = recovered(theatre)
        run = theatre.ask("run", "show", run["id"])
        assert any("by the coordinator, over SSH" in each for each in said(run)), said(run)
        assert {each["rung"] for each in run["steps"]} == {0}
        print(f"ssh_first_effect_s, its agent dead: {first_effect(run):.2f}")
        wait_for("the agent", lambda: condition(theatre) == "up", seconds=60, pause=0.5)


def active(theatre: Theatre, unit: str) -> bool:
    return theatre.lab.inside(MACHINE, ["systemctl", "is-active", unit]).out.strip() == "active"


def condition(theatre: Theatre) -> str:
    done = theatre.call(*theatre.command("status", "--json"))
    machines = json.loads(done.stdout)["machines"]
    return next(str(each["condition"]) for each in machines if each["name"] == MACHINE)
