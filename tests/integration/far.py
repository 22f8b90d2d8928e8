"""Machines that are reached over SSH: a real sshd for each, on loopback, with its own systemd."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from celery.contrib.testing.worker import start_worker

from orchestrator.catalog import TaskCatalog
from orchestrator.coordinator import Coordinator, Protected
from orchestrator.core.compiling import compile_plan
from orchestrator.core.fleet import (
    Check,
    Fleet,
    Machine,
    Objectives,
    Rung,
    Scenario,
    Service,
    StepTemplate,
)
from orchestrator.core.health import Rule
from orchestrator.core.plan import Plan
from orchestrator.core.policy import Rules
from orchestrator.fleetfile import Inventory
from orchestrator.lookout import Lookout
from orchestrator.ports import Store
from orchestrator.sshfile import Access
from orchestrator.store import MemoryStore
from tasks import catalog
from tasks.host import LocalHost
from tasks.signing import new_keys, private_key, public_key
from tests.contracts.sshd import Sshd, running_sshd
from tests.integration import rig
from workers.broker import COORDINATOR_QUEUE, make_app
from workers.carrier import DirectCarrier
from workers.inbox import Ticker, register
from workers.publisher import ChainPublisher
from workers.ways import Ways

BIN = Path(__file__).parent / "bin"
CONTROL = "control"


class FarMachines:
    """`one` and `two`, each with a unit whose check is that machine's own sshd."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory, self.stack = directory, stack
        self.keys = {name: new_keys() for name in ("coordinator", "one", "two", CONTROL)}
        self.doors = {name: self._door(name) for name in ("one", "two")}
        self.fleet = self._fleet()
        self.inventory = self._inventory()
        self.store: Store = MemoryStore()
        self.silent: tuple[str, ...] = ()

    def units(self, machine: str) -> Path:
        return self.directory / machine / "units"

    def _door(self, machine: str) -> Sshd:
        self.units(machine).mkdir(parents=True)
        home = self.directory / f"{machine}-sshd"
        home.mkdir()
        environment = {
            "FAKE_SYSTEMD": str(self.units(machine)),
            "PATH": f"{BIN}:/usr/local/bin:/usr/bin:/bin",
        }
        return self.stack.enter_context(running_sshd(home, environment))

    def _fleet(self) -> Fleet:
        machines = {name: Machine(name, "127.0.0.1") for name in (*self.doors, CONTROL)}
        services = {
            f"on-{name}": Service(
                f"on-{name}",
                name,
                f"{name}.service",
                Check("tcp", {"address": "127.0.0.1", "port": door.port}),
            )
            for name, door in self.doors.items()
        }
        return Fleet("small", CONTROL, machines, services, Objectives(60, 120, 60, 120))

    def _inventory(self) -> Inventory:
        access = {
            name: Access(
                getpass.getuser(), str(door.home / "key"), door.port, str(door.home / "known_hosts")
            )
            for name, door in self.doors.items()
        }
        return Inventory(self.fleet, (), access, (), {}, Rule(2, 3, 2), Rules())

    def plan(self, steps: Sequence[StepTemplate]) -> Plan:
        scenario = Scenario(
            "test", "test", "", (), tuple(self.fleet.services), (Rung("act", tuple(steps)),), (1, 2)
        )
        compiled = compile_plan(scenario, self.fleet, TaskCatalog())
        assert isinstance(compiled, Plan), compiled
        return compiled

    def protected(self, plan: Plan) -> Protected:
        agents = {n: public_key(pair[1]) for n, pair in self.keys.items() if n != "coordinator"}
        own = public_key(self.keys["coordinator"][1])
        return Protected(self.fleet, {}, {"test": plan}, agents, own)

    def carrier(self) -> DirectCarrier:
        key = private_key(self.keys["coordinator"][0])
        made = DirectCarrier(self.inventory, key, self.directory / CONTROL)
        self.stack.callback(made.close)
        return made

    def coordinator(self, plan: Plan) -> Coordinator:
        """One that knows no broker at all."""
        carrier = self.carrier()
        made = Coordinator(
            self.protected(plan),
            self.store,
            carrier,
            Lookout(LocalHost(), catalog.probes()),
            time.time,
        )
        carrier.coordinator = made
        ticker = Ticker(made.tick)
        ticker.start()
        self.stack.callback(ticker.stop)
        return made

    def through_a_broker(self, plan: Plan, url: str, *, patience: float) -> Coordinator:
        """One with both ways. Whose agent is dead stands in `silent`."""
        app = make_app(url, consumer=COORDINATOR_QUEUE)
        chain = ChainPublisher(app, private_key(self.keys["coordinator"][0]))
        carrier = self.carrier()
        ways = Ways(
            chain,
            carrier,
            self.inventory,
            self.store,
            time.time,
            silent=lambda: self.silent,
            patience=patience,
        )
        lookout = Lookout(LocalHost(), catalog.probes())
        made = Coordinator(self.protected(plan), self.store, ways, lookout, time.time)
        carrier.coordinator = made
        register(app, made)
        worker = start_worker(app, pool="threads", concurrency=4, perform_ping_check=False)
        self.stack.enter_context(worker)
        ticker = Ticker(made.tick)
        ticker.start()
        self.stack.callback(ticker.stop)
        return made

    def start_agent(self, machine: str, url: str) -> rig.Process:
        environment = self.agent_environment(machine, url)
        log = self.directory / machine / "log"
        return self.stack.enter_context(rig.running(rig.agent_argv(), log, environment))

    def effects(self, machine: str) -> list[str]:
        found = self.units(machine) / "effects"
        return found.read_text().splitlines() if found.exists() else []

    def agent_environment(self, machine: str, broker_url: str) -> dict[str, str]:
        """For a real agent of this machine, beside its sshd."""
        state = self.directory / machine
        (state / "agent.key").write_text(self.keys[machine][0])
        (state / "coordinator.pub").write_text(self.keys["coordinator"][1])
        return {
            "AUTOBOT_DR_MACHINE": machine,
            "AUTOBOT_DR_BROKER_URL": broker_url,
            "AUTOBOT_DR_STATE": str(state),
            "AUTOBOT_DR_AGENT_KEY": str(state / "agent.key"),
            "AUTOBOT_DR_COORDINATOR_PUB": str(state / "coordinator.pub"),
            "FAKE_SYSTEMD": str(self.units(machine)),
            "PATH": f"{BIN}:{os.environ['PATH']}",
        }
