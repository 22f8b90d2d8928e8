"""One machine while a branch is carried out on it without its agent.

What lives here: its connection, its agent's journal, and the agent itself started again first.
What must not: which orders are carried out (carrier.py). The agent is not waited for: whoever
comes back in the middle finds the journal, its lock and the epoch. What became of it is looked
at once the steps are through.
"""

from __future__ import annotations

from pathlib import Path

from orchestrator.core.policy import Clocks
from tasks import systemd
from tasks.contract import WorkOrder
from tasks.host import Host, HostFault, LocalHost
from tasks.operation import RECONSIDER_SECONDS
from tasks.ssh import SshHost
from workers.faraway import FarRows, Place, Say, find_place
from workers.ground import about_disk, mend_clock
from workers.journal import Book, Journal
from workers.ledger import JOURNAL

OVER_SSH, RIGHT_HERE = "over SSH", "by the coordinator, without the agent"
EPOCH_SECONDS = 5.0  #: for reading a machine's highest epoch
LEFT_ALONE = ("active", "activating", "reloading")


class FarMachine:
    """Reached over SSH. HostFault where it cannot be."""

    way = OVER_SSH

    def __init__(self, host: SshHost, unit: str, clocks: Clocks, say: Say) -> None:
        self.host, self._unit, self._clocks, self._say = host, unit, clocks, say
        self._place: Place | None = None
        self._started = False

    def book(self, order: WorkOrder) -> Book:
        if self._place is None:
            mend_clock(self.host, self._clocks, self._say)
            self._started = self._start_agent()
        # As an agent does, wait for who is at work there: it may be on this very order.
        patience = max(order.not_after - self.host.now(), 0.0) + order.seconds
        return self._open(order.seconds + RECONSIDER_SECONDS, patience)

    def top_epoch(self) -> int:
        return self._open(EPOCH_SECONDS, EPOCH_SECONDS).top_epoch()

    def _open(self, seconds: float, patience: float) -> Book:
        if self._place is None:
            self._place = find_place(self.host, self._unit)
        rows = FarRows(self.host, self._place, self._say, seconds=seconds, patience=patience)
        return Book(rows)

    def about(self, fault: HostFault) -> str:
        """What is known of why nothing could be begun there."""
        full = about_disk(self.host, self._place.state) if self._place else ""
        return f"{fault}; {full}" if full else str(fault)

    def close(self) -> None:
        if self._started:
            self._say(f"its agent's unit {self._unit} {self._became()}")
        self.host.close()

    def _start_agent(self) -> bool:
        seen = systemd.show(self.host, self._unit)
        if seen.active in LEFT_ALONE:
            self._say(f"its agent's unit {self._unit} is {seen.state}, and is left alone")
            return False
        if reason := systemd.cannot_run(self._unit, seen):
            self._say(f"its agent is not started: {reason}")
            return False
        ran = self.host.run(("systemctl", "start", "--no-block", "--", self._unit), seconds=10)
        done = "is being started over SSH" if ran.ok else f"could not be started: {ran.complaint}"
        self._say(f"its agent's unit {self._unit} was {seen.state}, and {done}")
        return ran.ok

    def _became(self) -> str:
        try:
            seen = systemd.show(self.host, self._unit)
        except HostFault as fault:
            return f"was started, and cannot be looked at: {fault}"
        return f"is {seen.state} again" if seen.active == "active" else f"is still {seen.state}"


class OwnMachine:
    """The machine that the coordinator runs on; its agent's journal is a file here."""

    way = RIGHT_HERE
    host: Host

    def __init__(self, unit: str, state: Path) -> None:
        """`state` is where the agent of `autobot-dr up` keeps its journal."""
        self.host, self._unit, self._state = LocalHost(), unit, state

    def book(self, _order: WorkOrder) -> Book:
        return self._journal()

    def top_epoch(self) -> int:
        return self._journal().top_epoch()

    def _journal(self) -> Journal:
        state = self._state if (self._state / JOURNAL).exists() else self._found()
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Journal(state / JOURNAL)

    def _found(self) -> Path:
        """An agent that is a unit of its own may keep it elsewhere."""
        try:
            return Path(find_place(self.host, self._unit, str(self._state)).state)
        except HostFault:
            return self._state

    def about(self, fault: HostFault) -> str:
        return str(fault)

    def close(self) -> None:
        """Nothing is held."""


Reached = FarMachine | OwnMachine
