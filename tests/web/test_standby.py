"""A coordinator that stands by: it answers who reads, and sends who writes to the leader."""

from __future__ import annotations

import subprocess

import pytest

from orchestrator.leadership import Standing
from orchestrator.web.access import Role
from tests.cli.conftest import AUTOBOT_DR, environment
from tests.web.world import TOKENS, Api, World, a_world, serving

STANDBY = Standing("two", "standby", 3, "one", "http://one:8470")
PAUSED = Standing("one", "leader", 3, "one", "http://one:8470", "the lease cannot be renewed")
WRITES = [
    ("/api/v1/runs", {"scenario": "restart"}),
    ("/api/v1/runs/x/approve", None),
    ("/api/v1/incidents/x/ack", None),
    ("/api/v1/incidents/x/notes", {"text": "t"}),
    ("/api/v1/maintenance", {"for_s": 60, "reason": "disks"}),
    ("/api/v1/backups/night/run", {"reason": "x"}),
    ("/api/v1/follow-ups/1/done", None),
]


def test_it_says_who_leads(world: World, api: Api) -> None:
    world.standing = STANDBY
    said = {"name": "two", "role": "standby", "leader": "one", "leader_url": "http://one:8470"}
    assert api.get("/api/v1/status").json()["coordinator"] == {**said, "complaint": None}
    ready = api.get("/readyz")
    assert ready.status_code == 200
    assert ready.json() == {"ready": True, **said, "complaint": None}
    metrics = api.get("/metrics").text
    assert "autobot_dr_leading 0" in metrics
    assert "autobot_dr_term 3" in metrics


@pytest.mark.parametrize(("path", "body"), WRITES)
def test_it_changes_nothing(world: World, api: Api, path: str, body: dict[str, object]) -> None:
    world.standing = STANDBY
    refused = api.post(path, body)
    assert refused.status_code == 503, refused.text
    assert refused.json()["type"] == "urn:autobot-dr:problem:standby"
    assert "one leads: ask http://one:8470" in refused.json()["detail"]
    assert list(world.store.runs()) == []


def test_a_leader_that_cannot_say_whether_it_leads_says_so(world: World, api: Api) -> None:
    world.standing = PAUSED
    assert api.get("/api/v1/status").json()["coordinator"]["complaint"] == PAUSED.complaint
    assert "autobot_dr_leading 0" in api.get("/metrics").text


def test_the_command_line_asks_the_one_that_leads() -> None:
    with a_world() as leader, a_world() as standby, serving(leader) as there:
        standby.standing = STANDBY
        with serving(standby) as here:
            told = environment(AUTOBOT_DR_TOKEN=TOKENS[Role.OPERATOR])

            def run(urls: str, *words: str) -> subprocess.CompletedProcess[str]:
                return subprocess.run(
                    [AUTOBOT_DR, *words],
                    env=told | {"AUTOBOT_DR_API_URLS": urls},
                    capture_output=True,
                    text=True,
                    timeout=60,
                )

            nobody = "http://127.0.0.1:9"
            started = run(f"{nobody}, {here}, {there}", "recover", "restart", "--no-wait")
            assert started.returncode == 0, started.stderr
            assert len(leader.store.runs()) == 1
            assert list(standby.store.runs()) == []
            refused = run(f"{nobody},{here}", "recover", "restart", "--no-wait")
            assert refused.returncode == 6
            assert "two stands by, one leads: ask http://one:8470" in refused.stderr
            seen = run(here, "status")
            assert "asked two, which stands by: one leads, at http://one:8470" in seen.stderr
