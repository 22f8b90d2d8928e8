"""Taking the lease, keeping it, and knowing whether one still leads.

What lives here: the thread that asks the store, and `leads`. What must not: what a leader does
(workers/coordinator.py), and SQL.

Whether this process leads is known from its own clock alone: until so long after the last
renewal was asked for. It stops before the lease ends for the others, also while the store does
not answer. When the store answers again and nobody took over, it goes on where it was. If
somebody did, this process is of no use any more: `lost` ends it, and a new one stands by.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.lease import Candidate, Leader
from orchestrator.ports import Clock, Store, StoreUnavailable

log = logging.getLogger("autobot_dr.coordinator")

LEASE_SECONDS = 8.0  #: after the leader's last word another takes over
SPARE_SECONDS = 2.0  #: so long before its end nothing is begun any more
ASK_SECONDS = 1.0  #: between two renewals, or two tries to take it
LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether this coordinator leads, and who does, for people and programs."""

    name: str
    role: str = "leader"  #: or standby
    term: int = 0
    leader: str = ""
    leader_url: str = ""
    complaint: str = ""  #: why it decides nothing although it should

    def of_leader(self) -> str:
        return f"{self.leader} leads: ask {self.leader_url}" if self.leader else "nobody leads yet"


def since_boot() -> float:
    """Goes on while this process is stopped and while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def candidate(state: Path, url: str) -> Candidate:
    """This installation. It is known by its state folder, whatever the machine is called."""
    known = state / "coordinator.id"
    if not known.exists():
        known.write_text(f"{uuid.uuid4()}\n")
    return Candidate(known.read_text().strip(), socket.gethostname(), url)


class Leadership(threading.Thread):
    """One per coordinator's process. `lost` is called once, when another leads instead."""

    def __init__(
        self,
        store: Store,
        own: Candidate,
        lost: Callable[[str], None],
        clock: Clock = since_boot,
        *,
        seconds: float = LEASE_SECONDS,
    ) -> None:
        super().__init__(name="leadership", daemon=True)
        self.store, self.own, self.lost = store, own, lost
        self._clock, self._seconds = clock, seconds
        self._stopping = threading.Event()
        self._term, self._until = 0, 0.0
        self._leader: Leader | None = None
        self._away = ""
        store.fence.shut()

    def leads(self) -> bool:
        """Whether something may be begun now."""
        return self._term > 0 and self._clock() < self._until

    def wait(self) -> int:
        """The number of the term in which we lead, once we do."""
        while not self.leads():
            time.sleep(LOOK_SECONDS)
        return self._term

    def standing(self) -> Standing:
        own, known = self.own, self._leader
        if self._term:
            complaint = "" if self.leads() else f"the lease cannot be renewed: {self._away}"
            return Standing(own.name, "leader", self._term, own.name, own.url, complaint)
        if known is None or not known.holder:
            return Standing(own.name, "standby")
        return Standing(own.name, "standby", known.term, known.name, known.url)

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.ask()
                self._answered()
            except StoreUnavailable as away:
                self._unanswered(str(away))
            self._stopping.wait(ASK_SECONDS)

    def ask(self) -> None:
        """Once: renew what is ours, or try to take it."""
        begun = self._clock()
        if self._term:
            if not self.store.lease.renew(self._term, self._seconds):
                return self._lose()
        elif term := self.store.lease.take(self.own, self._seconds):
            self.store.fence.hold(term)
            self._term = term
            log.warning("%s leads now, term %d", self.own.name, term)
        else:
            self._stand_by(self.store.lease.look())
            return None
        self._until = begun + self._seconds - SPARE_SECONDS
        return None

    def stop(self) -> None:
        """Give it back, so that another leads at once."""
        self._stopping.set()
        if self.is_alive():
            self.join(timeout=ASK_SECONDS + 1)
        term, self._term = self._term, 0
        self.store.fence.shut()
        if term:
            try:
                self.store.lease.give_back(term)
            except StoreUnavailable as away:
                log.warning("the lease runs out by itself: %s", away)

    def _stand_by(self, leader: Leader) -> None:
        who = f"{leader.name} ({leader.url})" if leader.holder else "nobody"
        if self._leader is None or self._leader.term != leader.term:
            log.warning("standing by: %s leads, term %d", who, leader.term)
        self._leader = leader
        self.store.fence.shut(who)

    def _lose(self) -> None:
        term, self._term = self._term, 0
        self.store.fence.shut()
        self._stopping.set()
        self.lost(f"another coordinator took over from term {term}")

    def _answered(self) -> None:
        if self._away:
            log.warning("the store answers again; this coordinator is %s", self.standing().role)
        self._away = ""

    def _unanswered(self, reason: str) -> None:
        if not self._away:
            log.warning("the lease cannot be asked for: %s", reason)
        self._away = reason
