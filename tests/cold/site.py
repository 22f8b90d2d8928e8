"""A practice fleet with a broker of its own beside it, and what really was done to its machines.

What lives here: setting both up, killing processes, and counting starts by the records of the
machines and of their power. What must not: any story (the tests, tests/sweeps/kills.py).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy.lab import lab as labs
from deploy.lab.lab import Lab
from deploy.lab.machines import AGENT
from deploy.lab.stage import BROKER_PORT, Theatre
from orchestrator.core.incident import ENDED, Incident
from orchestrator.embedded_broker import EmbeddedBroker, prepare, server
from orchestrator.ports import Store
from orchestrator.store import open_store
from tasks.host import LocalHost
from tests.integration.rig import wait_for

#: What systemd writes down when a unit was started.
STARTED = "MESSAGE_ID=39f53479d3a045ac8e11786248231fbf"
Run = Mapping[str, Any]


class Broker:
    """A Valkey of its own, as another machine would have it: one of the lab's, or the lab's .1."""

    def __init__(self, lab: Lab, folder: Path, machine: str = "") -> None:
        program = server(LocalHost())
        assert isinstance(program, tuple), program
        address = lab.address(machine) if machine else lab.coordinator_address
        made = prepare(LocalHost(), folder, program, address, BROKER_PORT)
        self.made: EmbeddedBroker = made
        self._argv = [*(lab.near(machine) if machine else lab.prefix()), *made.argv]
        self._log = folder / "log"
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self._child is None:
            with self._log.open("ab") as log:
                self._child = subprocess.Popen(self._argv, stdout=log, stderr=log)

    def kill(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait(10)
            self._child = None


class Site:
    """The lab, its operator, the coordinator's store, and what the machines' records say."""

    def __init__(self, lab: Lab, theatre: Theatre, store_url: str) -> None:
        self.lab, self.theatre, self.home, self._store_url = lab, theatre, theatre.home, store_url

    @property
    def units(self) -> dict[str, str]:
        """The service of each machine that has one."""
        return {name: each.units[0] for name, each in self.lab.machines.items() if each.units}

    @contextmanager
    def store(self) -> Iterator[Store]:
        opened = open_store(self._store_url)
        try:
            yield opened
        finally:
            opened.close()

    def ended(self, run: str, seconds: float = 180) -> Incident:
        with self.store() as store:

            def over() -> bool:
                stored = store.load(run)
                return stored is not None and stored.incident.state in ENDED

            wait_for(f"the end of {run}", over, seconds=seconds, pause=0.2)
            stored = store.load(run)
            assert stored is not None
            return stored.incident

    def said(self, run: str, kind: str) -> list[str]:
        with self.store() as store:
            return [each.text for each in store.timeline(run) if each.kind == kind]

    def call(self, *words: str) -> Run:
        done = self.theatre.call(*self.theatre.command(*words, "--json"))
        assert done.returncode == 0, done.stdout + done.stderr
        told: Run = json.loads(done.stdout)
        return told

    @contextmanager
    def left_alone(self) -> Iterator[None]:
        """The watcher only watches; what is done, the test orders."""
        window = self.call("maintenance", "start", "--for", "3h", "--reason", "a test")
        yield
        self.call("maintenance", "stop", str(window["id"]))

    def boots(self) -> dict[str, int]:
        """How often each machine was powered on, by its power's own record."""
        return {name: int(self.lab.machine(name).told()["boots"]) for name in self.units}

    def starts(self) -> dict[str, int]:
        """How often each service was started since its machine booted, by its journal."""
        return {name: self._starts(name, unit) for name, unit in self.units.items()}

    def _starts(self, machine: str, unit: str) -> int:
        match = [STARTED, f"UNIT={unit}.service"]
        said = self.lab.inside(machine, ["journalctl", "--quiet", "--output=cat", *match])
        return len(said.out.splitlines())


class ColdSite(Site):
    """The lab with a broker beside it, and all of ours on one machine."""

    def __init__(self, lab: Lab, home: Path) -> None:
        home.mkdir(parents=True)
        self.broker = Broker(lab, home / "broker")
        url = {"AUTOBOT_DR_BROKER_URL": self.broker.made.url}
        theatre = Theatre(lab, home / "home", environment=url)
        super().__init__(lab, theatre, f"sqlite:///{theatre.home}/state/store.db")

    def kill_process(self, name: str) -> None:
        """One of those that `up` keeps, with all that it has started."""
        told = json.loads((self.home / "state" / "up.json").read_text())
        os.killpg(told[name]["pid"], signal.SIGKILL)

    def kill_agent(self, machine: str) -> None:
        """Of a machine that may not have one yet."""
        if machine in self.lab.machines:
            self.lab.inside(machine, ["systemctl", "kill", "--signal=KILL", AGENT])
        else:
            self.kill_process("agent")


@contextmanager
def cold_site(place: Path) -> Iterator[ColdSite]:
    """All machines off; neither broker nor coordinator runs."""
    lab = labs.prepare("nspawn", place / "lab")
    try:
        site = ColdSite(lab, place / "site")
        try:
            yield site
        finally:
            site.broker.kill()
    finally:
        lab.down()
