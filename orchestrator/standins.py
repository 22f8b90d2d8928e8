"""Eyes in the place of agents that are not heard: their questions, asked over SSH from here.

What lives here: finding the machines whose SSH server answers while their agents do not, and
asking there what the agent would have been asked. What must not: what an answer means (core/)
and doing anything. So a service on such a machine has its second witness, and a machine that
can be looked into is not taken for one that is cut off. While the broker is away nobody can be
heard, and all are asked so; of our own machine we ask ourselves, hypervisors included.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from orchestrator import door
from orchestrator.core.health import Use, Watch
from orchestrator.fleetfile import Inventory
from orchestrator.overseer import Overseer
from tasks import catalog
from tasks.host import Host, HostFault, LocalHost
from tasks.operation import take_reading
from tasks.ssh import SshHost

log = logging.getLogger("autobot_dr.standins")

SECONDS = 5.0  #: between two looks
DEAF_SECONDS = 10.0  #: of not hearing anybody before all are asked
LOGIN_SECONDS = 5.0
USES = (Use.LOCAL, Use.UNIT, Use.POWER)
SIDE_BY_SIDE = 16


class StandIns(threading.Thread):
    """Asks until stopped."""

    def __init__(self, inventory: Inventory, overseer: Overseer, watches: Sequence[Watch]) -> None:
        super().__init__(name="stand-ins", daemon=True)
        self.inventory, self.overseer = inventory, overseer
        self._watches = _by_vantage(watches)
        self._hosts: dict[str, SshHost] = {}
        self._stopping = threading.Event()

    def run(self) -> None:
        with ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="stand-in") as pool:
            while not self._stopping.wait(SECONDS):
                try:
                    self.look(pool)
                except Exception:
                    log.exception("looking in the place of agents failed; again in a while")
        for host in self._hosts.values():
            host.close()

    def stop(self) -> None:
        self._stopping.set()
        if self.is_alive():
            self.join(timeout=2 * SECONDS)

    def look(self, pool: ThreadPoolExecutor) -> None:
        """Once, at all machines that are not heard."""
        control = self.inventory.fleet.control
        unheard = self.overseer.unheard(DEAF_SECONDS)
        doors = door.answering(self.inventory, [each for each in unheard if each != control])
        self.overseer.open_doors(doors)
        for gone in set(self._hosts) - doors:
            self._hosts.pop(gone).close()
        there = [each for each in unheard if each in doors or each == control]
        for _ in pool.map(self._ask, there):
            pass

    def _ask(self, machine: str) -> None:
        host = self._host(machine)
        try:
            # That we do not get in must not look as if its services did not answer.
            host.run(("true",), seconds=LOGIN_SECONDS)
        except HostFault as fault:
            log.info("%s cannot be looked into: %s", machine, fault)
            return
        for watch in self._watches.get(machine, ()):
            probe = catalog.probes()[watch.probe]
            reading = take_reading(host, probe, watch.arguments, vantage=machine)
            self.overseer.take(watch.name, reading)

    def _host(self, machine: str) -> Host:
        if machine == self.inventory.fleet.control:
            return LocalHost()
        if machine not in self._hosts:
            self._hosts[machine] = door.through(self.inventory, machine)
        return self._hosts[machine]


def _by_vantage(watches: Sequence[Watch]) -> Mapping[str, list[Watch]]:
    found: dict[str, list[Watch]] = {}
    for each in watches:
        if each.use in USES:
            found.setdefault(each.vantage, []).append(each)
    return found
