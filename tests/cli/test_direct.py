"""`recover --direct`: no broker, no coordinator, perhaps not even the store."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.a_home import Home
from tests.integration.rig import free_port


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """Its one service is well already; the run still has its step and its look from outside."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield Home(tmp_path / "home", listener.getsockname()[1])


def test_a_run_needs_nothing_of_ours(home: Home) -> None:
    done = home.run("recover", "port", "--direct", "--json")
    run = json.loads(done.stdout)
    assert (done.returncode, run["state"]) == (0, "resolved"), done.stderr
    (step,) = run["steps"]
    assert step["reason"].endswith("(by the coordinator, without the agent)")
    assert (home.folder / "state" / "store.db").exists()


def test_a_run_needs_no_store_either(home: Home) -> None:
    away = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
    done = home.run("recover", "port", "--direct", AUTOBOT_DR_STORE_URL=away)
    assert done.returncode == 0, done.stderr
    assert "is kept in" in done.stderr
    assert "resolved: verified from outside" in done.stdout
    assert Path(home.folder, "state", "direct.db").exists()


def test_an_unknown_scenario_is_said_so(home: Home) -> None:
    done = home.run("recover", "nothing", "--direct")
    assert done.returncode == 2
    assert "there is no scenario 'nothing' (known: port)" in done.stderr


def test_who_does_not_wait_cannot_do_it_directly(home: Home) -> None:
    done = home.run("recover", "port", "--direct", "--no-wait")
    assert done.returncode == 2
    assert "--no-wait has no sense" in done.stderr
