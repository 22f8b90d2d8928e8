"""The watching part of the coordinator's process: eyes, ears and the overseer between them.

What lives here: starting and stopping these threads, and the complaints about ourselves. What
must not: what is done with a reading (orchestrator/overseer.py).
"""

from __future__ import annotations

from collections.abc import Mapping

from celery import Celery
from nacl.signing import SigningKey

from orchestrator.backups import Backups
from orchestrator.config import Configuration
from orchestrator.coordinator import Coordinator
from orchestrator.core.health import COORDINATOR, Watch
from orchestrator.overseer import Overseer
from orchestrator.own import Complaint, OwnChecks, own_watches
from orchestrator.rpo import RpoAlarm
from orchestrator.standins import StandIns
from orchestrator.watcher import Watcher
from orchestrator.watches import make_watches
from tasks import catalog
from workers.ears import Ears
from workers.queues import BrokerAway, waiting

UNTAKEN_SECONDS = 60.0  #: messages for an agent that was not heard for so long are not taken
OWN = ("broker", "queues", "readings")


class Watching:
    """One per coordinator's process. `overseer.tick` is called by the ticker."""

    def __init__(
        self,
        app: Celery,
        key: SigningKey,
        coordinator: Coordinator,
        configuration: Configuration,
        further: Mapping[str, Complaint] | None = None,
    ) -> None:
        """`further` are own checks that others answer for, by their names."""
        self.app, self.coordinator = app, coordinator
        watches = make_watches(configuration.inventory)
        alarms = RpoAlarm(Backups(coordinator, configuration.inventory.backups)).complaints()
        alarms |= further or {}
        own = own_watches((*OWN, *alarms))
        self.overseer = Overseer(coordinator, (*watches, *own), configuration.inventory.rules)
        self.watcher = Watcher(self.overseer.take, catalog.probes(), coordinator.now)
        self.watcher.watch(watches)
        agents = coordinator.protected.agents
        self.ears = Ears(app, key, agents, self.overseer.heard, doubted=self.overseer.doubted)
        self._lists = _by_machine(watches)
        asked = {"broker": self._broker, "queues": self._queues, "readings": self._readings}
        self.standins = StandIns(configuration.inventory, self.overseer, watches)
        self.own = OwnChecks({**asked, **alarms}, self.overseer.take, coordinator.now)

    def listen(self) -> None:
        """Hear who is there, ask nothing. Who takes over so knows whose agents were lost with
        the leader, and does at once what they were to do."""
        self.ears.start()

    def start(self) -> None:
        """Watch, beside listening."""
        self.ears.set_lists(self._lists)
        self.watcher.start()
        self.own.start()
        self.standins.start()

    def tick(self) -> None:
        self.overseer.hearing(self.ears.listening_since())
        self.overseer.tick()

    def stop(self) -> None:
        self.standins.stop()
        self.own.stop()
        self.watcher.stop()
        self.ears.stop()

    def complaints(self) -> list[str]:
        """Why we are not well ourselves; nothing when all is."""
        self.coordinator.store.unfinished()  # raises when the store does not answer
        return [said for said in (self._broker(), self._readings()) if said]

    def _broker(self) -> str:
        if self.coordinator.listening_since is None:
            return "the broker does not answer; orders go over SSH, and no agent is heard"
        return ""

    def _queues(self) -> str:
        silent = self.overseer.silent_machines(UNTAKEN_SECONDS)
        try:
            counts = waiting(self.app, silent)
        except BrokerAway:
            return ""  # the broker's own check says so
        stuck = [f"{count} for {machine}" for machine, count in counts.items() if count]
        return f"messages that nobody takes: {', '.join(stuck)}" if stuck else ""

    def _readings(self) -> str:
        overdue = self.watcher.overdue()
        untold = self.overseer.untold()
        names = [*overdue, *untold]
        return f"no data for {', '.join(names[:5])} ({len(names)} watches)" if names else ""


def _by_machine(watches: tuple[Watch, ...]) -> Mapping[str, list[Watch]]:
    found: dict[str, list[Watch]] = {}
    for each in watches:
        if each.vantage != COORDINATOR:
            found.setdefault(each.vantage, []).append(each)
    return found
