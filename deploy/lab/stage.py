"""Sets a lab up as an operator would set up a fleet: a home with its fleet file and keys, and
an agent configured on every machine.

What lives here: turning the shipped fleet file into the lab's own and handing out keys. What
must not: starting anything; `autobot-dr up` does that, and demo.py runs it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from deploy.lab.lab import Lab
from deploy.lab.machines import NETWORK, write_environment
from deploy.lab.process import DOOR_PORT
from orchestrator.setup import SHIPPED, initialise
from tasks.contract import Json

BROKER_PORT = 6390
API_PORT = 8470


def stage(lab: Lab, home: Path, fleet: dict[str, Any] | None = None) -> dict[str, str]:
    """Make `home` for this lab; gives the environment for `autobot-dr` in it.

    `fleet` is a fleet file's content; without one it is the shipped fleet, fitted to the lab.
    """
    home.mkdir(parents=True, exist_ok=True)
    content = fleet or fitted(lab)
    (home / "fleet.yaml").write_text(yaml.safe_dump(content, sort_keys=False, width=100))
    initialise(home)
    address = lab.coordinator_address
    environment = {
        "AUTOBOT_DR_HOME": str(home),
        "AUTOBOT_DR_LISTEN": f"{address}:{API_PORT}",
        "AUTOBOT_DR_BROKER_LISTEN": f"{address}:{BROKER_PORT}",
    }
    write_environment(home / "lab.env", environment)
    return environment


def configure_agents(lab: Lab, home: Path, broker_url: str) -> None:
    """Give every machine's agent its own key, the coordinator's public one and the broker."""
    public = (home / "keys" / "coordinator.pub").read_text()
    for machine in lab.machines:
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
                "agent.key": (home / "keys" / f"{machine}.key").read_text(),
                "coordinator.pub": public,
            },
        )


def fitted(lab: Lab) -> dict[str, Any]:
    """The shipped fleet with this lab's addresses, its hypervisor and its stand-ins' files."""
    network = lab.coordinator_address.rpartition(".")[0]
    text = (SHIPPED / "fleet.yaml").read_text().replace(NETWORK, network)
    fleet: dict[str, Any] = yaml.safe_load(text)
    fleet["hypervisors"] = {"lab": {"driver": lab.driver, "at": str(lab.home)}}
    for machine in fleet["machines"].values():
        if "hypervisor" in machine:
            machine["hypervisor"] = "lab"
    fleet["ssh"] = {"user": "autobot", "key": str(lab.ssh_key)}
    if lab.driver == "process":
        fleet["ssh"]["port"] = DOOR_PORT
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
