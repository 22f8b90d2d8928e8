"""Two real coordinators on one PostgreSQL, with a broker and the agents of a small fleet.

Each coordinator has a home of its own with the same fleet, runbooks and keys, as two machines
would. Its way to PostgreSQL is a socket of its own, which a test can cut.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from orchestrator.store import open_store
from tests.cli.conftest import AUTOBOT_DR, environment
from tests.contracts.postgres import Server
from tests.integration import rig

BIN = Path(__file__).parent / "bin"
MACHINES = ("control", "one", "two")
SERVICE = """\
  on-{machine}:
    machine: {machine}
    unit: {machine}.service
    start_seconds: 10
    check: {{probe: tcp, address: 127.0.0.1, port: {port}}}
"""
FLEET = """\
fleet: two
control: control
objectives:
  rto: {{target: 60 s, maximum: 2 min}}
  rpo: {{target: 1 h, maximum: 4 h}}
ssh: {{user: nobody, key: /nonexistent}}
contacts: nobody
watch: {{interval: 1 s, timeout: 0.5 s}}
machines:
  control: {{address: 127.0.0.1}}
  one: {{address: 127.0.0.2}}
  two: {{address: 127.0.0.3}}
services:
"""
RUNBOOK = """\
title: Both
impact: None
symptoms: [Nobody answers]
services: [on-one, on-two]
estimate: [1 s, 10 s]
ladder:
  - rung: Restart both, one after the other
    steps:
      - service.restart: {on: on-one}
      - service.restart: {on: on-two}
"""


class Cable(threading.Thread):
    """A way to PostgreSQL that can be cut: what is sent then goes nowhere, in silence."""

    def __init__(self, folder: Path, server: Server) -> None:
        super().__init__(daemon=True)
        folder.mkdir()
        self.folder, self._far = folder, str(server.directory / ".s.PGSQL.5432")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / ".s.PGSQL.5432"))
        self._listener.listen(64)
        self._whole = threading.Event()
        self._whole.set()

    def url(self, database: str) -> str:
        return f"postgresql://dr@/{database}?host={self.folder}"

    def cut(self) -> None:
        self._whole.clear()

    def mend(self) -> None:
        self._whole.set()

    def close(self) -> None:
        self._whole.set()
        self._listener.close()

    def run(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(self._far)
            for ends in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                self._whole.wait()
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            end.close()


class Seat:
    """One coordinator: its home, its process, and its API."""

    def __init__(self, name: str, folder: Path, broker: str, store: str, stack: ExitStack) -> None:
        self.name, self.home, self.port = name, folder, rig.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = environment(
            AUTOBOT_DR_HOME=str(folder),
            AUTOBOT_DR_LISTEN=f"127.0.0.1:{self.port}",
            AUTOBOT_DR_BROKER_URL=broker,
            AUTOBOT_DR_STORE_URL=store,
        )
        self._stack = stack
        self.process: rig.Process | None = None

    def start(self) -> None:
        argv = [str(AUTOBOT_DR), "coordinator"]
        log = self.home / "coordinator.log"
        self.process = self._stack.enter_context(rig.running(argv, log, self.environment))

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.child.pid

    def ended(self) -> int | None:
        assert self.process is not None
        return self.process.child.poll()

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()

    def terminate(self) -> None:
        os.kill(self.pid, signal.SIGTERM)

    def ready(self) -> dict[str, Any]:
        """What /readyz says; nothing while nobody answers."""
        try:
            answer = httpx.get(f"{self.url}/readyz", trust_env=False, timeout=2)
        except httpx.HTTPError:
            return {}
        found: dict[str, Any] = answer.json()
        return found

    def leads(self) -> bool:
        return self.ready().get("role") == "leader"

    def stands_by(self) -> bool:
        return self.ready().get("role") == "standby"

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        token = (self.home / "api.token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.request(
            method, f"{self.url}{path}", headers=headers, trust_env=False, timeout=10, **more
        )

    def log(self) -> str:
        return (self.home / "coordinator.log").read_text()


class Two:
    """The two seats, and what is around them."""

    def __init__(self, broker: rig.Broker, server: Server, folder: Path, stack: ExitStack) -> None:
        self.broker, self.folder, self.stack = broker, folder, stack
        self.server, self.database = server, server.new_database()
        self.cables = [Cable(folder / f"way-{name}", server) for name in ("a", "b")]
        for each in self.cables:
            each.start()
            stack.callback(each.close)
        first = self._home("a")
        shutil.copytree(first, folder / "b")
        self.seats = [
            Seat(name, folder / name, broker.url, cable.url(self.database), stack)
            for name, cable in zip(("a", "b"), self.cables, strict=True)
        ]
        #: The store as nobody's: what a test looks at, and it is not fenced.
        self.store = open_store(server.url(self.database))
        stack.callback(self.store.close)

    def _home(self, name: str) -> Path:
        home = self.folder / name
        (home / "runbooks").mkdir(parents=True)
        services = "".join(
            SERVICE.format(machine=each, port=self.broker.port) for each in ("one", "two")
        )
        (home / "fleet.yaml").write_text(FLEET.format() + services)
        (home / "runbooks" / "both.yaml").write_text(RUNBOOK)
        made = subprocess.run(
            [AUTOBOT_DR, "init"],
            env=environment(AUTOBOT_DR_HOME=str(home)),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert made.returncode == 0, made.stderr
        return home

    def start(self) -> tuple[Seat, Seat]:
        """Both; gives who leads and who stands by."""
        for each in self.seats:
            each.start()
        both = ["leader", "standby"]
        rig.wait_for("a leader and a standby", lambda: sorted(self._roles()) == both, seconds=90)
        first, second = self.seats
        return (first, second) if first.leads() else (second, first)

    def _roles(self) -> list[str]:
        return [each.ready().get("role", "") for each in self.seats]

    def cable_of(self, seat: Seat) -> Cable:
        return self.cables[self.seats.index(seat)]

    def start_agent(self, machine: str) -> rig.Process:
        state = self.folder / machine
        (state / "units").mkdir(parents=True, exist_ok=True)
        keys = self.seats[0].home / "keys"
        told = {
            "AUTOBOT_DR_MACHINE": machine,
            "AUTOBOT_DR_BROKER_URL": self.broker.url,
            "AUTOBOT_DR_STATE": str(state),
            "AUTOBOT_DR_AGENT_KEY": str(keys / f"{machine}.key"),
            "AUTOBOT_DR_COORDINATOR_PUB": str(keys / "coordinator.pub"),
            "FAKE_SYSTEMD": str(state / "units"),
            "PATH": f"{BIN}:{os.environ['PATH']}",
        }
        return self.stack.enter_context(rig.running(rig.agent_argv(), state / "log", told))

    def effects(self, machine: str) -> list[str]:
        found = self.folder / machine / "units" / "effects"
        return found.read_text().splitlines() if found.exists() else []

    def slow(self, machine: str, seconds: float) -> None:
        (self.folder / machine / "units" / "seconds").write_text(str(seconds))

    def took_over(self, seat: Seat, *, seconds: float = 30) -> float:
        """How long until this one leads."""
        begun = time.monotonic()
        rig.wait_for(f"{seat.name} to lead", seat.leads, seconds=seconds)
        return time.monotonic() - begun
