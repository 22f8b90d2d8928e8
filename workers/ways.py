"""Which way a branch goes: as a chain through the broker, or over SSH from here.

What lives here: the Publisher port over both ways, and the rule that chooses. What must not:
how either way works. The broker's is the way, since it goes on without the coordinator; SSH is
for a branch that begins at a machine whose agent is known to be dead while its SSH server
answers, and for all branches once the broker has been away for a while, those included that
were sent before: the very same orders, which take effect once. Choosing wrongly costs
time and nothing else: an order takes effect once, by whichever way it comes first.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Protocol

from orchestrator import door
from orchestrator.core.events import Entry, Publish, Withdraw
from orchestrator.core.incident import Incident
from orchestrator.fleetfile import Inventory
from orchestrator.ports import Clock, Publisher, PublishFailed, Store
from tasks.contract import JobSheet

log = logging.getLogger("autobot_dr.coordinator")

BROKER_PATIENCE = 10.0  #: seconds without the broker before orders go without it


class Direct(Publisher, Protocol):
    """The way without a broker."""

    def has(self, incident: Incident, effect: Publish) -> bool:
        """Whether this, or a part of it, is on its way already."""
        ...


class Ways:
    """One per coordinator. `silent` says which machines' agents are known to be dead now, and
    `agentless` which of these machines were seen to be there all the same."""

    def __init__(
        self,
        chain: Publisher,
        direct: Direct,
        inventory: Inventory,
        store: Store,
        now: Clock,
        *,
        silent: Callable[[], Collection[str]] = lambda: (),
        agentless: Callable[[], Collection[str]] = lambda: (),
        patience: float = BROKER_PATIENCE,
    ) -> None:
        self.chain, self.direct, self.inventory, self.store = chain, direct, inventory, store
        self.now, self.silent, self.agentless = now, silent, agentless
        self._patience = patience
        self._away_since: float | None = None

    def publish(self, incident: Incident, effect: Publish) -> None:
        why = self._why_direct(incident, effect)
        if not why and self._away_since is not None:
            # Asked every second whether it is there; a try would hold up everything for longer.
            raise PublishFailed("the broker is away; what is to be sent waits a moment for it")
        if not why:
            try:
                self.chain.publish(incident, effect)
            except PublishFailed:
                self._heard(False)
                if not (why := self._broker_away()):
                    raise
        if why and not self.direct.has(incident, effect):
            if effect.orders:
                name = incident.plan.branch(effect.rung, effect.branch).name
                text = f"{name} is carried out by the coordinator, over SSH: {why}"
                log.warning("%s: %s", incident.run, text)
                self.store.add_entry(incident.run, Entry(self.now(), "way", text))
            self.direct.publish(incident, effect)

    def withdraw(self, incident: Incident, effect: Withdraw) -> None:
        self.direct.withdraw(incident, effect)
        self.chain.withdraw(incident, effect)

    def hand_out(self, sheet: JobSheet) -> None:
        self.chain.hand_out(sheet)

    def listening(self) -> bool:
        return self._heard(self.chain.listening())

    def carries(self) -> bool:
        """There is always a way; while the broker's patience lasts, the orders wait."""
        return True

    def stranded(self, effect: Publish) -> bool:
        """Its agent may also have died for good in the middle, or whoever carried it out here."""
        if self._broker_away():
            return True
        return bool(effect.orders) and effect.orders[0].agent in self.agentless()

    def by_ssh(self, machines: Collection[str]) -> frozenset[str]:
        """Those of them that can be worked on although their agents are dead: our own always."""
        own = {self.inventory.fleet.control} & set(machines)
        return door.answering(self.inventory, set(machines) - own) | own

    def _why_direct(self, incident: Incident, effect: Publish) -> str:
        if self.inventory.fleet.broker in incident.plan.branch(effect.rung, effect.branch).checks:
            return "it is about our own broker"
        if away := self._broker_away():
            return away
        first = effect.orders[0].agent if effect.orders else ""
        if first in self.silent() and first in self.by_ssh((first,)):
            own = first == self.inventory.fleet.control
            there = "and the coordinator is there" if own else "its SSH server does"
            return f"the agent of {first} does not answer, {there}"
        return ""

    def _broker_away(self) -> str:
        if self._away_since is None or self.now() - self._away_since < self._patience:
            return ""
        return f"the broker is away since {self.now() - self._away_since:.0f} s"

    def _heard(self, listening: bool) -> bool:
        if listening:
            self._away_since = None
        elif self._away_since is None:
            self._away_since = self.now()
        return listening
