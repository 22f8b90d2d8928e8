"""Sets a lab up as an operator would set up a fleet: a home with its fleet file and keys, an
agent configured on every machine, and `autobot-dr up` running beside them.

What lives here: turning the shipped fleet file into the lab's own, handing out keys, and the
operator's command line in the lab's network. What must not: a story or a judgement (demo.py,
tests/fleet).
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from deploy.lab import LabFault
from deploy.lab.lab import Lab
from deploy.lab.machines import AGENT, NETWORK
from deploy.lab.process import DOOR_PORT
from orchestrator.config import load
from orchestrator.core.graph import Graph, machine_graph
from orchestrator.setup import SHIPPED, initialise
from tasks.contract import Json

BROKER_PORT = 6390
API_PORT = 8470
UP_SECONDS = 90
AUTOBOT = str(Path(sys.executable).parent / "autobot-dr")


def stage(lab: Lab, home: Path, fleet: dict[str, Any] | None = None) -> dict[str, str]:
    """Make `home` for this lab; gives the environment for `autobot-dr` in it.

    `fleet` is a fleet file's content; without one it is the shipped fleet, fitted to the lab.
    """
    home.mkdir(parents=True, exist_ok=True)
    content = fleet or fitted(lab)
    (home / "fleet.yaml").write_text(yaml.safe_dump(content, sort_keys=False, width=100))
    initialise(home)
    address = lab.coordinator_address
    return {
        "AUTOBOT_DR_HOME": str(home),
        "AUTOBOT_DR_LISTEN": f"{address}:{API_PORT}",
        "AUTOBOT_DR_BROKER_LISTEN": f"{address}:{BROKER_PORT}",
    }


def configure_agents(lab: Lab, home: Path, broker_url: str) -> None:
    """Give every machine's agent its own key, the coordinator's public one and the broker."""
    public = (home / "keys" / "coordinator.pub").read_text()
    for machine in lab.machines:
        key = home / "keys" / f"{machine}.key"
        if not key.exists():
            continue  # no machine of the fleet: it is there for its place in the network alone
        lab.configure_agent(
            machine,
            {
                "AUTOBOT_DR_MACHINE": machine,
                "AUTOBOT_DR_BROKER_URL": broker_url,
                "AUTOBOT_DR_STATE": lab.path_inside(machine, "state"),
                "AUTOBOT_DR_AGENT_KEY": lab.path_inside(machine, "agent.key"),
                "AUTOBOT_DR_COORDINATOR_PUB": lab.path_inside(machine, "coordinator.pub"),
            },
            {
                "agent.key": key.read_text(),
                "coordinator.pub": public,
            },
        )


def fitted(lab: Lab) -> dict[str, Any]:
    """The shipped fleet with this lab's addresses, its hypervisor and its stand-ins' files."""
    network = lab.coordinator_address.rpartition(".")[0]
    text = (SHIPPED / "fleet.yaml").read_text().replace(NETWORK, network)
    fleet: dict[str, Any] = yaml.safe_load(text)
    fleet["hypervisors"] = {"lab": {"driver": lab.driver, "at": str(lab.home)}}
    for name, machine in fleet["machines"].items():
        if "hypervisor" in machine:
            machine["hypervisor"] = "lab"
        if name in lab.machines:
            machine.setdefault("settings", {})["agent_unit"] = AGENT
    # What is broken on purpose wakes nobody.
    fleet["contacts"] = "nobody"
    # Its place is this machine's, not the lab's.
    del fleet["kit"]
    fleet["ssh"] = {"user": "autobot", "key": str(lab.ssh_key)}
    if lab.driver == "process":
        fleet["ssh"]["port"] = DOOR_PORT
    # All of the lab's machines share this one's processors: their numbers are not their own.
    fleet["thresholds"]["machines"] = {}
    for service, settings in _differences(lab).items():
        fleet["services"][service].setdefault("settings", {}).update(settings)
    return fleet


def _differences(lab: Lab) -> dict[str, dict[str, Json]]:
    """Where this lab's stand-ins keep what the real services keep elsewhere."""
    inside = lab.driver == "nspawn"
    logs = "/var/log/autobot" if inside else str(lab.kept("backend").parent / "logs")
    backend = {"log": f"{logs}/backend.log", "process": "standins[.]backend"}
    npu: dict[str, Json] = {} if inside else {"python": sys.executable, "library": ""}
    return {"backend": backend, "npu-worker": npu}


class Theatre:
    """A lab with AutoBot DR running beside it, and the operator's command line."""

    def __init__(
        self,
        lab: Lab,
        home: Path,
        fleet: dict[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        *,
        prefix: Sequence[str] | None = None,
    ) -> None:
        """`prefix` is what comes before a command to run it elsewhere than on the lab's .1."""
        self.lab, self.home = lab, home
        self.prefix = lab.prefix() if prefix is None else list(prefix)
        self.environment = {**os.environ, **stage(lab, home, fleet), **(environment or {})}

    def autobot(self, *words: str) -> int:
        """Run a command of AutoBot DR as the operator would, where the fleet can be reached."""
        print(f"$ autobot-dr {shlex.join(words)}", flush=True)
        return subprocess.run(self.command(*words), env=self.environment, check=False).returncode

    def ask(self, *words: str) -> Any:
        """What a command says with --json, or LabFault if it failed."""
        done = self.call(*self.command(*words, "--json"))
        if done.returncode:
            raise LabFault(f"autobot-dr {' '.join(words)}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def call(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a program with the operator's environment and keep what it says."""
        return subprocess.run(
            argv, env=self.environment, capture_output=True, text=True, check=False
        )

    def command(self, *words: str) -> list[str]:
        return [*self.prefix, AUTOBOT, *words]

    @contextmanager
    def up(self) -> Iterator[None]:
        """Broker, coordinator, control agent and Flower, until the block ends."""
        log = self.home / "up.log"
        with log.open("wb") as output:
            child = subprocess.Popen(
                self.command("up"), env=self.environment, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            self._await_up(child, log)
            url = self.environment.get("AUTOBOT_DR_BROKER_URL")
            own = self.home / "state" / "broker" / "url"
            configure_agents(self.lab, self.home, url or own.read_text().strip())
            yield
        finally:
            child.terminate()
            child.wait(timeout=60)

    def needs(self) -> Graph:
        """Which machine waits for which, as the fleet file's dependencies have it."""
        found = load(self.home / "fleet.yaml", self.home / "runbooks")
        if isinstance(found, tuple):
            raise LabFault("; ".join(map(str, found)))
        return machine_graph(found.fleet, found.fleet.services)

    def _await_up(self, child: subprocess.Popen[bytes], log: Path) -> None:
        ends = time.monotonic() + UP_SECONDS
        while b"AutoBot DR is up" not in log.read_bytes():
            if child.poll() is not None or time.monotonic() > ends:
                raise LabFault(f"`autobot-dr up` did not come up:\n{log.read_text()}")
            time.sleep(0.1)
