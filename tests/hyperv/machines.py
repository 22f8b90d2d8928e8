"""The virtual machines of the test's Hyper-V host, and how they misbehave.

What lives here: state, boots and checkpoints, and what a test sets to break them. What must
not: the protocol. `powered` and `cut` are hooks: a test hangs real machines of a lab on them.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

#: Between two looks at a machine that is to reach a state.
PAUSE = 0.005


class State(IntEnum):
    """The numbers of Microsoft.HyperV.PowerShell.VMState."""

    Running = 2
    Off = 3
    Stopping = 4
    Saved = 6
    Paused = 9
    Starting = 10


class CannotDo(Exception):
    """Hyper-V says no. `identity` is the first word of FullyQualifiedErrorId."""

    def __init__(self, sentence: str, identity: str = "OperationFailed") -> None:
        super().__init__(sentence)
        self.identity = identity


@dataclass
class Checkpoint:
    name: str
    taken_at: float
    state: State
    id: uuid.UUID = field(default_factory=uuid.uuid4)


def nothing(_vm: str) -> None:
    """A hook that does nothing: a machine that exists only on paper."""


@dataclass
class Machine:
    """One machine. The fields below the line are what a test sets to break it."""

    name: str
    state: State = State.Off
    boots: int = 0
    powered_at: float = 0.0
    checkpoints: list[Checkpoint] = field(default_factory=list)
    parent: uuid.UUID | None = None  #: the checkpoint that its disks go on from
    #: Whether the real machine behind it has power; on paper, what is written here is true.
    is_on: Callable[[str], bool] | None = None
    on_start: Callable[[str], None] = nothing
    on_shutdown: Callable[[str], None] = nothing
    on_cut: Callable[[str], None] = nothing
    # What a test breaks.
    boot_seconds: float = 0.0  #: how long it is Starting
    stays_starting: bool = False  #: Start-VM comes back, and Starting is for ever
    stops_at_once: bool = False  #: it starts, and is off again
    ignores_shutdown: bool = False  #: an orderly stop never ends
    refuses: str = ""  #: a start fails with this sentence
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _change: threading.Lock = field(default_factory=threading.Lock)

    def settle(self) -> None:
        """Take over what happened to the real machine past its hypervisor."""
        if self.is_on is None or self.state not in (State.Running, State.Off):
            return
        on = self.is_on(self.name)
        if on and self.state is State.Off:
            self.state, self.powered_at = State.Running, time.time()
        elif not on:
            self.state = State.Off

    def uptime(self) -> float:
        return time.time() - self.powered_at if self.state is not State.Off else 0.0

    def start(self) -> None:
        """Two starts at once power it once, as Hyper-V has it."""
        with self._change:
            self.settle()
            if self.state in (State.Running, State.Starting):
                return
            if self.refuses:
                raise CannotDo(self.refuses)
            self.state, self.powered_at = State.Starting, time.time()
            self.boots += 1
            self.on_start(self.name)
            time.sleep(self.boot_seconds)
            if self.stays_starting or self.state is not State.Starting:
                return
            self.state = State.Off if self.stops_at_once else State.Running

    def shut_down(self, stopped: threading.Event) -> None:
        if self.state is State.Off:
            return
        if self.state is not State.Running:
            raise CannotDo(
                "The operation cannot be performed while the virtual machine is in its "
                "current state.",
                "InvalidState",
            )
        self.state = State.Stopping
        while self.ignores_shutdown and not stopped.wait(PAUSE):
            if self.state is not State.Stopping:
                return
        if self.ignores_shutdown:
            self.state = State.Running
            return
        self.on_shutdown(self.name)
        self.state = State.Off

    def cut(self) -> None:
        """Takes no lock: it also ends a start that hangs."""
        if self.state is not State.Off:
            self.on_cut(self.name)
            self.state = State.Off

    def reset(self) -> None:
        if self.state is not State.Running:
            raise CannotDo("The virtual machine is not running.", "InvalidState")
        self.cut()
        self.start()

    def checkpoint(self, name: str) -> None:
        """Hyper-V takes two of one name without a word."""
        taken = Checkpoint(name, time.time(), self.state)
        self.checkpoints.append(taken)
        self.parent = taken.id

    def the(self, name: str) -> Checkpoint:
        found = [each for each in self.checkpoints if each.name == name]
        if not found:
            raise CannotDo(f'Hyper-V was unable to find a checkpoint "{name}".', "InvalidParameter")
        return found[-1]

    def restore(self, name: str) -> None:
        self.cut()
        self.parent = self.the(name).id

    def remove(self, name: str) -> None:
        gone = self.the(name)
        self.checkpoints.remove(gone)
        if self.parent == gone.id:
            self.parent = None
