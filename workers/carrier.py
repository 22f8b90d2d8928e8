"""Carries a branch out without a broker: over SSH, from where the coordinator runs.

What lives here: the Publisher port without Celery: the same signed orders one after another,
each through the same executor with the machine's own journal, then the check. What must not:
choosing this way (ways.py) and the sequence of an order (executor.py).

Reports from here are signed with the coordinator's key, because the machine's own must not
leave it; whoever holds the coordinator's can order anything anyway. Steps of the control
machine, such as those at a hypervisor, are carried out right here with its agent's journal.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Protocol

from nacl.signing import SigningKey

from orchestrator import door
from orchestrator.core.events import Entry, Publish, Withdraw
from orchestrator.core.incident import WORKING, Incident
from orchestrator.fleetfile import Inventory
from orchestrator.ports import Store
from tasks.contract import AGENT_UNIT, Headway, JobSheet, Outcome, Progress, WorkOrder, WorkReport
from tasks.host import HostFault
from tasks.operation import Result
from tasks.signing import sign
from tasks.ssh_way import NotThere
from workers.executor import Executor, Identity, report_on
from workers.faraway import Say
from workers.inbox import patiently
from workers.reached import FarMachine, OwnMachine, Reached

log = logging.getLogger("autobot_dr.direct")

BRANCHES = 16  #: carried out side by side
#: A machine that has just booted may let nobody in for a moment although its port is open.
BOOT_SECONDS, AGAIN_SECONDS = 15.0, 1.0


class Told(Protocol):
    """Who is told of what comes: a coordinator."""

    store: Store

    def report(self, report: WorkReport) -> None: ...

    def progress(self, progress: Progress) -> None: ...

    def headway(self, headway: Headway) -> None: ...

    def check(self, run: str, rung: int, branch: int, seconds: float) -> None: ...


def names_of(incident: Incident, effect: Publish) -> frozenset[str]:
    """What is in it: its orders, or the check alone."""
    check = f"{incident.run} {effect.rung}.{effect.branch}"
    return frozenset(each.id for each in effect.orders) or frozenset((check,))


class DirectCarrier:
    """One per process. `coordinator` is set before anything is published."""

    coordinator: Told

    def __init__(self, inventory: Inventory, key: SigningKey, state: Path) -> None:
        """`state` is where the control machine's agent keeps its journal, if `up` started it."""
        self.inventory, self.key, self.state = inventory, key, state
        self._room = threading.Semaphore(BRANCHES)
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._out: set[frozenset[str]] = set()
        self._withdrawn: dict[str, str] = {}

    def publish(self, incident: Incident, effect: Publish) -> None:
        """Goes on in a thread. What is on its way already is not begun a second time."""
        orders = names_of(incident, effect)
        with self._lock:
            if any(orders & each for each in self._out):
                return
            self._out.add(orders)
        # A daemon, so that whoever ends this process need not wait for a step at a far machine.
        threading.Thread(
            target=self._carry, args=(incident, effect, orders), name="direct", daemon=True
        ).start()

    def withdraw(self, _incident: Incident, effect: Withdraw) -> None:
        """Over SSH a command runs to its end; the next one is not begun."""
        with self._lock:
            self._withdrawn |= {order: effect.reason for _, order in effect.orders}

    def hand_out(self, sheet: JobSheet) -> None:
        """An agent that is dead takes none; it gets the next one."""

    def listening(self) -> bool:
        return True

    def carries(self) -> bool:
        return True

    def stranded(self, _effect: Publish) -> bool:
        return False

    def has(self, incident: Incident, effect: Publish) -> bool:
        """Whether this is being carried out here already, or a part of it."""
        with self._lock:
            return any(names_of(incident, effect) & each for each in self._out)

    def top_epoch(self, agents: Collection[str]) -> int:
        """The highest epoch that was obeyed by any of them; one that cannot be asked says none."""
        with ThreadPoolExecutor(BRANCHES) as pool:
            return max(pool.map(self._epoch_of, agents), default=0)

    def _epoch_of(self, agent: str) -> int:
        try:
            with closing(self._machine(agent, lambda _: None)) as machine:
                return machine.top_epoch()
        except HostFault as fault:
            log.warning("%s: its highest epoch is not known: %s", agent, fault)
            return 0

    def close(self) -> None:
        """What was not begun is not; it is found overdue by whoever carries on."""
        self._closing.set()

    def _carry(self, incident: Incident, effect: Publish, orders: frozenset[str]) -> None:
        try:
            with self._room, ExitStack() as connections:
                reached: dict[str, Reached] = {}
                for order in effect.orders:
                    if not self._goes_on(incident):
                        return
                    if order.agent not in reached:
                        reached[order.agent] = self._reach(order)
                        connections.callback(reached[order.agent].close)
                    report = self._carry_out(sign(order, self.key), reached[order.agent])
                    self._tell_of(report)
                    if not Outcome(report.outcome).succeeded:
                        return
            seconds, told = effect.check_seconds, self.coordinator
            patiently(lambda: told.check(incident.run, effect.rung, effect.branch, seconds))
        except Exception:
            # Its steps become overdue, and a look from outside decides.
            log.exception("a branch of run %s was not carried to its end", incident.run)
        finally:
            with self._lock:
                self._out.discard(orders)

    def _tell_of(self, report: WorkReport) -> None:
        patiently(lambda: self.coordinator.report(report))

    def _goes_on(self, incident: Incident) -> bool:
        """Whether nobody has stopped the run meanwhile, or this process."""
        if self._closing.is_set():
            return False
        stored = patiently(lambda: self.coordinator.store.load(incident.run))
        return stored is not None and stored.incident.state in WORKING

    def _reach(self, order: WorkOrder) -> Reached:
        def say(text: str) -> None:
            entry = Entry(time.time(), "way", f"{order.agent}: {text}")
            self.coordinator.store.add_entry(order.run, entry)

        return self._machine(order.agent, say)

    def _machine(self, agent: str, say: Say) -> Reached:
        fleet = self.inventory.fleet
        unit = str(fleet.machines[agent].settings.get("agent_unit", AGENT_UNIT))
        if agent == fleet.control:
            return OwnMachine(unit, self.state)
        way = door.through(self.inventory, agent)
        return FarMachine(way, unit, self.inventory.rules.clock, say)

    def _carry_out(self, order: WorkOrder, machine: Reached) -> WorkReport:
        by = Identity(order.agent, self.key, self.key.verify_key, self.state)
        started = machine.host.now()
        while True:
            try:
                book = machine.book(order)
                executor = Executor(
                    by,
                    book,
                    machine.host,
                    self._tell,
                    self._show,
                    way=machine.way,
                    withdrawn=lambda order: self._withdrawn.get(order, ""),
                )
                return executor.handle(order.to_wire(), sent_as=order.operation)
            except HostFault as fault:
                # Only from before it was begun: later ones are the executor's.
                now = machine.host.now()
                if isinstance(fault, NotThere) and now < started + BOOT_SECONDS:
                    machine.host.sleep(AGAIN_SECONDS)
                    continue
                nothing = Result(Outcome.FAILED, f"not begun: {machine.about(fault)}")
                return report_on(order, nothing, started, now, by, machine.way)

    def _tell(self, progress: Progress) -> None:
        self.coordinator.progress(progress)

    def _show(self, headway: Headway) -> None:
        self.coordinator.headway(headway)
