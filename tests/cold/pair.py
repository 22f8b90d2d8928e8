"""Two control machines in the lab's network; PostgreSQL is on neither, nor is the broker as a rule.

What lives here: such a site, and the loss of a whole control machine: its network first, so that
nobody at the other end of a connection is told, then everything that runs on it. What must not:
any story (test_control_machine_lost.py). A control machine is a network namespace and a home of
its own; what it has ordered from the hypervisor goes on without it, as at a real one.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from deploy.lab import lab as labs
from deploy.lab.machines import AUTOBOT, NETWORK, MachineDefinition
from deploy.lab.nspawn_lab import NspawnLab
from deploy.lab.stage import API_PORT, Theatre, configure_agents, fitted
from tests.cold.site import Broker, Site
from tests.contracts.postgres import Server, running_server
from tests.integration.rig import wait_for

FIRST = MachineDefinition("first", f"{NETWORK}.2", "", ())
SECOND = MachineDefinition("second", f"{NETWORK}.3", "", ())


class ControlMachine:
    """One of the two: `autobot-dr up` on it, and its end."""

    def __init__(self, lab: NspawnLab, name: str, home: Path, told: dict[str, str]) -> None:
        fleet = fitted(lab)
        fleet["machines"]["control"]["address"] = FIRST.address
        address = lab.address(name)
        own = {
            "AUTOBOT_DR_LISTEN": f"{address}:{API_PORT}",
            "AUTOBOT_DR_BROKER_LISTEN": f"{address}:6390",
            "AUTOBOT_DR_PUBLIC_URL": f"http://{address}:{API_PORT}",
        }
        self.lab, self.name, self.home = lab, name, home
        self.theatre = Theatre(lab, home, fleet, {**told, **own}, prefix=lab.near(name))
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.home / "up.log"

    def start(self) -> None:
        self.lab.machine(self.name).link("up")
        with self.log.open("wb") as log:
            self._child = subprocess.Popen(
                self.theatre.command("up"), env=self.theatre.environment, stdout=log, stderr=log
            )
        wait_for(f"`up` on {self.name}", self._is_up, seconds=90, pause=0.1)

    def _is_up(self) -> bool:
        assert self._child is not None
        assert self._child.poll() is None, self.log.read_text()
        return "AutoBot DR is up" in self.log.read_text()

    def lose(self) -> float:
        """All of it in one blow; gives the moment."""
        self.lab.machine(self.name).link("down")
        lost = time.time()
        assert self._child is not None
        self._child.kill()
        for each in json.loads((self.home / "state" / "up.json").read_text()).values():
            os.killpg(each["pid"], signal.SIGKILL)
        self._child.wait(10)
        self._child = None
        return lost

    def end(self) -> None:
        if self._child is not None:
            self._child.terminate()
            self._child.wait(60)
            self._child = None


class Pair(Site):
    """Both control machines, and what they share."""

    server: Server
    database: str
    broker: Broker

    def __init__(
        self, lab: NspawnLab, place: Path, store: tuple[str, str], broker_url: str
    ) -> None:
        """`store` is how the machines reach it, and how the test does."""
        store_url, near = store
        told = {
            "AUTOBOT_DR_BROKER_URL": broker_url,
            "AUTOBOT_DR_STORE_URL": store_url,
            "AUTOBOT_DR_API_URLS": ",".join(
                f"http://{each.address}:{API_PORT}" for each in (FIRST, SECOND)
            ),
        }
        self.first = ControlMachine(lab, "first", place / "first", told)
        shutil.copytree(place / "first", place / "second")
        self.second = ControlMachine(lab, "second", place / "second", told)
        # The operator's own machine is neither of the two.
        operator = Theatre(lab, place / "operator", environment=told)
        shutil.copy(place / "first" / "api.token", operator.home / "api.token")
        super().__init__(lab, operator, near)

    def led_by_the_first(self) -> None:
        """Else the second is ended in an orderly way, and stands by when it is back."""
        if self.role(self.first) != "leader":
            self.second.end()
            self.until(self.first, "leader")
            self.second.start()
        self.until(self.second, "standby")

    def until(self, machine: ControlMachine, role: str) -> None:
        what = f"{machine.name} as {role}"
        wait_for(what, lambda: self.role(machine) == role, seconds=60, pause=0.5)

    def done(self, boots: dict[str, int]) -> dict[str, int]:
        """How often each machine was powered on since `boots`, and each service started."""
        counts = {f"power of {name}": n - boots[name] for name, n in self.boots().items()}
        return counts | {f"service of {name}": n for name, n in self.starts().items()}

    def sessions(self, machine: ControlMachine) -> int:
        """How many of that machine's PostgreSQL still keeps."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE host(client_addr) = %s"
        with self.server.connect() as connection:
            found = connection.execute(query, (self.lab.address(machine.name),)).fetchone()
        assert found is not None
        return int(str(found[0]))

    def role(self, machine: ControlMachine) -> str:
        url = machine.theatre.environment["AUTOBOT_DR_PUBLIC_URL"]
        command = machine.theatre.command("status", "--json")
        told = {**machine.theatre.environment, "AUTOBOT_DR_API_URLS": url}
        done = subprocess.run(command, env=told, capture_output=True, text=True, check=False)
        return str(json.loads(done.stdout)["coordinator"]["role"]) if done.stdout else ""


@contextmanager
def a_pair(place: Path, *, broker_on: str = "") -> Iterator[Pair]:
    """All machines off, the broker and PostgreSQL run, nothing of ours does."""
    lab = labs.prepare("nspawn", place / "lab", (*AUTOBOT, FIRST, SECOND))
    assert isinstance(lab, NspawnLab)
    with ExitStack() as stack:
        stack.callback(lab.down)
        address = lab.coordinator_address
        server = stack.enter_context(running_server(address, lab.prefix()))
        broker = Broker(lab, place / "broker", broker_on)
        broker.start()
        stack.callback(broker.kill)
        database = server.new_database()
        urls = server.url(database, address), server.url(database)
        pair = Pair(lab, place, urls, broker.made.url)
        pair.server, pair.database, pair.broker = server, database, broker
        for each in (pair.first, pair.second):
            stack.callback(each.end)
        configure_agents(lab, pair.first.home, broker.made.url)
        yield pair
