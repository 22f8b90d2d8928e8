"""`autobot-dr up` on a second machine: all but what there must be one of, the control machine's."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from orchestrator.whereabouts import is_here
from tests.cli.a_home import Home, up
from tests.contracts.postgres import running_server
from tests.integration import rig

ELSEWHERE = "198.51.100.7"  #: an address that is for documents, and nobody's


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """One whose control machine is another than this."""
    with ExitStack() as stack:
        watched = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=128))
        made = Home(tmp_path / "home", watched.getsockname()[1])
        server = stack.enter_context(running_server())
        made.environment["AUTOBOT_DR_STORE_URL"] = server.url(server.new_database())
        _put_control_at(made, ELSEWHERE)
        yield made


def _put_control_at(home: Home, address: str) -> None:
    file = home.folder / "fleet.yaml"
    file.write_text(file.read_text().replace("{address: 127.0.0.1}", f"{{address: {address}}}"))


def test_a_second_machine_gets_no_second_agent(home: Home, tmp_path: Path) -> None:
    refused = home.run("up")
    assert refused.returncode == 1
    assert f"control has the address {ELSEWHERE}, which is not this one's" in refused.stderr
    assert refused.stderr.strip().endswith("set AUTOBOT_DR_BROKER_URL")
    assert home.processes() == []

    with rig.broker("valkey", tmp_path) as broker:
        shared = {"AUTOBOT_DR_BROKER_URL": broker.url}
        with up(home, **shared) as second:
            said = second.out.read_text()
            assert f"agent    not here: control is the machine with the address {ELSEWHERE}" in said
            started = json.loads((home.folder / "state" / "up.json").read_text())
            assert set(started) == {"coordinator", "beat", "Flower"}
            assert not any("workers.agent" in each for each in home.processes())


def test_an_address_is_here_if_nothing_that_is_sent_to_it_leaves_this_machine() -> None:
    assert is_here("127.0.0.1")
    assert is_here("localhost")
    assert not is_here(ELSEWHERE)
    assert not is_here("no-such-machine.invalid")
    assert not is_here("not an address")
