"""The last step of a run ends everything that `autobot-dr up` started, the broker too; the next
`up` goes on with the run."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.a_home import FLEET, Home, up
from tests.integration.rig import wait_for
from tests.integration.site import BIN

RUNBOOK = """\
title: It must be started anew
impact: None
services: [port]
estimate: [1 s, 10 s]
ladder:
  - rung: Restart the service, and then ourselves
    steps:
      - service.restart: {seconds: 20}
      - service.restart: {on: control, unit: autobot-dr, seconds: 30}
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        port = listener.getsockname()[1]
        made = Home(tmp_path / "home", port)
        own = "  control: {address: 127.0.0.1, settings: {agent_unit: autobot-dr}}\n"
        fleet = FLEET.format(port=port).replace("  control: {address: 127.0.0.1}\n", own)
        (made.folder / "fleet.yaml").write_text(fleet)
        (made.folder / "runbooks" / "port.yaml").write_text(RUNBOOK)
        units = tmp_path / "units"
        units.mkdir()
        (units / "autobot-dr.kills").write_text(str(made.folder))
        made.environment |= {"FAKE_SYSTEMD": str(units), "PATH": f"{BIN}:{os.environ['PATH']}"}
        yield made


def test_a_run_survives_the_restart_of_all_that_carries_it_out(home: Home, tmp_path: Path) -> None:
    with up(home) as first:
        started = home.run("recover", "port", "--no-wait", "--json")
        assert started.returncode == 0, started.stderr + home.logs()
        run = json.loads(started.stdout)["id"]
        wait_for("the end of `up`", lambda: first.child.poll() is not None, seconds=60)
    wait_for("nothing to be left", lambda: home.processes() == [])
    with up(home):

        def shown() -> dict[str, object]:
            found: dict[str, object] = json.loads(home.run("run", "show", run, "--json").stdout)
            return found

        wait_for("the end of the run", lambda: shown()["ended_at"] is not None, seconds=60)
        assert shown()["state"] == "resolved", json.dumps(shown(), indent=1) + home.logs()
    effects = (tmp_path / "units" / "effects").read_text().splitlines()
    assert effects == ["restart port.service", "restart autobot-dr"]
