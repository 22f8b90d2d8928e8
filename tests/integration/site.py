"""A small fleet on one machine: agents as real processes, the coordinator beside the test."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from celery import Celery
from celery.contrib.testing.worker import start_worker

from orchestrator.catalog import TaskCatalog
from orchestrator.coordinator import Coordinator, Protected
from orchestrator.core.backups import Job
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
from orchestrator.core.incident import ENDED, Incident
from orchestrator.core.plan import Plan
from orchestrator.core.steps import orders_for
from orchestrator.lookout import Lookout
from orchestrator.store import open_store
from tasks import catalog
from tasks.contract import WorkOrder
from tasks.host import LocalHost
from tasks.signing import new_keys, private_key, public_key
from tests.integration import rig
from workers.broker import COORDINATOR_QUEUE, make_app
from workers.inbox import Ticker, register
from workers.publisher import ChainPublisher

BIN = Path(__file__).parent / "bin"


class Site:
    """Machines `one` and `two`, each with a unit whose check is the broker's own port."""

    def __init__(self, broker: rig.Broker, directory: Path, stack: ExitStack) -> None:
        self.broker, self.directory, self.stack = broker, directory, stack
        self.keys = {name: new_keys() for name in ("coordinator", "one", "two")}
        self.agents: dict[str, rig.Process] = {}
        self.fleet = self._fleet()
        self.store = open_store(f"sqlite:///{directory}/store.db")
        stack.callback(self.store.close)

    def _fleet(self) -> Fleet:
        check = Check("tcp", {"address": "127.0.0.1", "port": self.broker.port})
        machines = {name: Machine(name, "127.0.0.1") for name in ("one", "two")}
        services = {f"on-{m}": Service(f"on-{m}", m, f"{m}.service", check) for m in machines}
        return Fleet("small", "one", machines, services, Objectives(60, 120, 60, 120))

    def plan(self, steps: Sequence[StepTemplate], name: str = "test") -> Plan:
        scenario = Scenario(
            name, name, "", (), tuple(self.fleet.services), (Rung("act", tuple(steps)),), (1, 2)
        )
        compiled = compile_plan(scenario, self.fleet, TaskCatalog())
        assert isinstance(compiled, Plan), compiled
        return compiled

    def coordinator(self, plans: Mapping[str, Plan], stack: ExitStack | None = None) -> Coordinator:
        """A coordinator that consumes its queue in threads of this process, until `stack` ends."""
        stack = stack or self.stack
        app = make_app(self.broker.url, consumer=COORDINATOR_QUEUE)
        agents = {name: public_key(pair[1]) for name, pair in self.keys.items()}
        self.publisher = ChainPublisher(app, private_key(self.keys["coordinator"][0]))
        made = Coordinator(
            Protected(self.fleet, {}, plans, agents, jobs=self.jobs()),
            self.store,
            self.publisher,
            Lookout(LocalHost(), catalog.probes()),
            time.time,
        )
        register(app, made)
        self.register(app, made)
        stack.enter_context(
            start_worker(app, pool="threads", concurrency=4, perform_ping_check=False)
        )
        ticker = Ticker(made.tick)
        ticker.start()
        stack.callback(ticker.stop)
        return made

    def jobs(self) -> Mapping[str, Job]:
        """What is backed up."""
        return {}

    def register(self, app: Celery, coordinator: Coordinator) -> None:
        """For a site whose coordinator has more tasks."""

    def start_agent(self, machine: str, **more: str) -> rig.Process:
        state = self.directory / machine
        state.mkdir(exist_ok=True)
        (state / "units").mkdir(exist_ok=True)
        (state / "agent.key").write_text(self.keys[machine][0])
        (state / "coordinator.pub").write_text(self.keys["coordinator"][1])
        environment = {
            "AUTOBOT_DR_MACHINE": machine,
            "AUTOBOT_DR_BROKER_URL": self.broker.url,
            "AUTOBOT_DR_STATE": str(state),
            "AUTOBOT_DR_AGENT_KEY": str(state / "agent.key"),
            "AUTOBOT_DR_COORDINATOR_PUB": str(state / "coordinator.pub"),
            "FAKE_SYSTEMD": str(state / "units"),
            "PATH": f"{BIN}:{os.environ['PATH']}",
        }
        process = self.stack.enter_context(
            rig.running(rig.agent_argv(), state / "log", environment | more)
        )
        self.agents[machine] = process
        return process

    def effects(self, machine: str) -> list[str]:
        found = self.directory / machine / "units" / "effects"
        return found.read_text().splitlines() if found.exists() else []

    def slow(self, machine: str, seconds: float) -> None:
        (self.directory / machine / "units" / "seconds").write_text(str(seconds))

    def ended(self, run: str, *, seconds: float = 60) -> Incident:
        """The incident once it has ended."""

        def over() -> bool:
            stored = self.store.load(run)
            return stored is not None and stored.incident.state in ENDED

        rig.wait_for(f"the end of run {run}", over, seconds=seconds)
        stored = self.store.load(run)
        assert stored is not None
        return stored.incident

    def orders(self, incident: Incident) -> tuple[WorkOrder, ...]:
        """The orders of the incident's first publishing, made again from its records."""
        rung = [each for each in incident.steps if each.attempt == 1]
        return orders_for(incident, rung)
