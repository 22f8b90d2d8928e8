"""Keeps child processes running, and ends them by their own pids.

What lives here: `Child` and `Supervisor`. What must not: which children there are (up.py).

A child that dies is started again, after a pause that doubles up to half a minute. What a
supervisor that was killed left running is found by pid and start time, since a pid alone may
belong to somebody else by then.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from tasks.host import LocalHost, spawn
from tasks.processes import start_time

PAUSE_FIRST, PAUSE_LONGEST = 1.0, 30.0  #: seconds before a dead child is started again
STEADY_SECONDS = 60.0  #: after so long the pause begins at its first length again
LOOK_SECONDS = 0.2
READY_SECONDS = 60.0
END_SECONDS = 20.0  #: for an orderly end; a step that takes longer is judged after a restart
KILL_SECONDS = 5.0
LOG_LIMIT = 10 * 1024 * 1024

Say = Callable[[str], None]
Running = tuple[int, Callable[[], bool]]  #: a pid, and whether it has ended


class Process(Protocol):
    """A started child."""

    pid: int

    def poll(self) -> int | None: ...


class Notified:
    """Where a child says READY=1, as systemd would have it.

    What is said is always taken: a child whose words pile up would wait for us in its `send`.
    """

    def __init__(self, listener: socket.socket, address: str) -> None:
        self.address, self._listener = address, listener
        self._said = threading.Event()
        threading.Thread(target=self._listen, name="notified", daemon=True).start()

    def _listen(self) -> None:
        while message := self._listener.recv(4096):
            if b"READY=1" in message:
                self._said.set()

    def ready(self) -> bool:
        """Whether it was said since the last time that this was asked with success."""
        said = self._said.is_set()
        self._said.clear()
        return said


@contextmanager
def a_listener() -> Iterator[Notified]:
    """Open as long as the child may be started again."""
    name = f"autobot-dr-{os.getpid()}-{secrets.token_hex(4)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        try:
            yield Notified(listener, f"@{name}")
        finally:
            # An empty message ends the listening thread.
            listener.shutdown(socket.SHUT_RD)


class NotReady(Exception):
    """A process did not come up; everything that was started is ended again."""

    def __init__(self, reason: str, *, waited: bool = False) -> None:
        super().__init__(reason)
        self.waited = waited  #: it lives, but what it needs did not come


@dataclass(slots=True)
class Child:
    """One process. `complaint` says why it is not ready; nothing when it is."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    complaint: Callable[[], str]
    process: Process | None = None
    started_at: float = 0.0
    pause: float = PAUSE_FIRST
    due: float = 0.0  #: when a dead one is started again
    ready: bool = False

    def start(self) -> None:
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".old"))
        self.process = spawn(self.argv, log=self.log, environment=self.environment)
        self.started_at, self.ready = time.monotonic(), False

    def ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def last_words(self) -> str:
        """The end of its log, for a sentence."""
        lines = (LocalHost().read(str(self.log), last=2000) or "").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


class Supervisor:
    """Children in groups that start side by side; so they end, the last group first."""

    def __init__(self, record: Path, stopping: threading.Event, say: Say) -> None:
        self._record, self._stopping, self._say = record, stopping, say
        self._groups: list[tuple[Child, ...]] = []

    @property
    def children(self) -> list[Child]:
        return [child for group in self._groups for child in group]

    def start(self, *children: Child) -> None:
        """Start side by side and wait until each is ready. NotReady if one does not come up."""
        self._groups.append(children)
        for child in children:
            child.start()
            self._write_record()
        for child in children:
            self._await(child)

    def _await(self, child: Child) -> None:
        ends = time.monotonic() + READY_SECONDS
        while complaint := child.complaint():
            if child.ended():
                raise NotReady(f"the {child.name} did not start: {child.last_words()}")
            if time.monotonic() > ends:
                raise NotReady(
                    f"the {child.name} is not ready after {READY_SECONDS:.0f} s ({complaint}); "
                    f"its log is {child.log}",
                    waited=True,
                )
            if self._stopping.wait(LOOK_SECONDS):
                raise NotReady("stopped before everything was ready")
        child.ready = True

    def keep(self) -> None:
        """Until told to stop."""
        while not self._stopping.wait(LOOK_SECONDS):
            for child in self.children:
                self._look_after(child)

    def _look_after(self, child: Child) -> None:
        now = time.monotonic()
        if not child.ended():
            if now - child.started_at > STEADY_SECONDS:
                child.pause = PAUSE_FIRST
            if not child.ready and not child.complaint():
                child.ready = True
                self._say(f"the {child.name} is back")
        elif child.process is not None:
            self._say(
                f"the {child.name} ended by itself ({child.last_words()}); "
                f"starting it again in {child.pause:.0f} s, log {child.log}"
            )
            child.process, child.due = None, now + child.pause
            child.pause = min(child.pause * 2, PAUSE_LONGEST)
        elif now >= child.due:
            child.start()
            self._write_record()

    def end(self) -> None:
        """All of them, each by its own pid."""
        for group in reversed(self._groups):
            _end([(each.process.pid, each.ended) for each in group if each.process is not None])
        self._record.unlink(missing_ok=True)

    def _write_record(self) -> None:
        host = LocalHost()
        running = {
            child.name: {"pid": child.process.pid, "started": start_time(host, child.process.pid)}
            for child in self.children
            if child.process is not None
        }
        host.write(str(self._record), json.dumps(running).encode(), mode=0o600)


def end_leftovers(record: Path) -> list[str]:
    """End what a killed supervisor left; gives their names."""
    host = LocalHost()
    text = host.read(str(record))
    left: dict[str, Running] = {}
    for name, told in json.loads(text).items() if text else ():
        gone = partial(_is_gone, told["pid"], told["started"])
        if not gone():
            left[name] = (told["pid"], gone)
    _end(list(left.values()))
    record.unlink(missing_ok=True)
    return list(left)


def _is_gone(pid: int, started: int | None) -> bool:
    return started is None or start_time(LocalHost(), pid) != started


def _end(asked: Sequence[Running]) -> None:
    """Ask them to end; after a while end each with all that it started, its own session."""
    late = _left(asked, signal.SIGTERM, os.kill, END_SECONDS)
    _left(late, signal.SIGKILL, os.killpg, KILL_SECONDS)


def _left(
    told: Sequence[Running], number: int, send: Callable[[int, int], None], seconds: float
) -> list[Running]:
    """Those that are still there so long after the signal."""
    for pid, over in told:
        if not over():
            with suppress(ProcessLookupError):  # it ended by itself meanwhile
                send(pid, number)
    ends = time.monotonic() + seconds
    while (left := [each for each in told if not each[1]()]) and time.monotonic() < ends:
        time.sleep(0.05)
    return left
