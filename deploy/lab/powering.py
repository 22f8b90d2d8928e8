"""What powering one machine of a lab has in common, whatever the machine is made of.

What lives here: the machine's record, its lock, and the order of things in a start and a
stop. What must not: a third-party import, or anything slow: this is on the path of every
measured recovery. `nspawn.py` and `process.py` are the programs; the lab and the hypervisor
driver both use them: `python -m deploy.lab.nspawn HOME start|stop|kill|state NAME`.

Exit codes: 0 done, 1 it could not be done, 3 it did not end in time, 4 no such machine.
"""

from __future__ import annotations

import abc
import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

POLL = 0.01
LEADER_SECONDS, STOP_SECONDS, KILL_SECONDS, LOCK_SECONDS = 20.0, 25.0, 10.0, 60.0


class CannotPower(Exception):
    """The machine could not be powered; the sentence says what happened."""

    def __init__(self, sentence: str, code: int = 1) -> None:
        super().__init__(sentence)
        self.code = code


class Machine(abc.ABC):
    """One machine of the lab at `home`, as its files and /proc show it."""

    def __init__(self, home: Path, name: str) -> None:
        lab = json.loads((home / "lab.json").read_text())
        if name not in lab["machines"]:
            raise CannotPower(
                f"{name}: not a machine of this lab ({', '.join(lab['machines'])})", 4
            )
        self.name = name
        self.lab: dict[str, Any] = lab
        self.plan: dict[str, Any] = lab["machines"][name]
        self.folder = home / "machines"
        self.record = self.folder / f"{name}.json"

    def told(self) -> dict[str, Any]:
        try:
            told: dict[str, Any] = json.loads(self.record.read_text())
        except FileNotFoundError:
            return {"power": "off", "pid": 0, "boots": 0}
        return told

    def tell(self, **changes: Any) -> None:
        """Atomic, because the hypervisor driver reads it without a lock."""
        aside = self.record.with_suffix(f".{os.getpid()}")
        aside.write_text(json.dumps({**self.told(), **changes}))
        aside.replace(self.record)

    def pid(self) -> int:
        """The process that is the machine, or 0. A recycled pid does not carry its name."""
        pid: int = self.told()["pid"]
        mark = f"--machine={self.plan['label']}".encode()
        try:
            return pid if pid and mark in Path(f"/proc/{pid}/cmdline").read_bytes() else 0
        except FileNotFoundError:
            return 0

    @abc.abstractmethod
    def leader(self) -> int:
        """The process inside that is told to shut down; 0 until the machine has one."""

    @abc.abstractmethod
    def spawn(self, console: Path) -> subprocess.Popen[bytes]: ...

    @abc.abstractmethod
    def link(self, state: str) -> None:
        """The cable, `up` or `down`. Without power a machine does not even refuse."""

    @abc.abstractmethod
    def processes(self) -> list[int]:
        """What a power loss ends, in that order."""

    @abc.abstractmethod
    def left(self) -> list[int] | None:
        """Processes that outlived the machine; None once nothing at all is left of it."""

    #: What asks the leader for an orderly shutdown.
    shutdown: signal.Signals | int = signal.SIGTERM

    def power(self) -> str:
        told = str(self.told()["power"])
        return told if self.pid() else ("starting" if self.beginning() else "off")

    def beginning(self) -> bool:
        """Announced, and the one who announced it is still about to spawn it."""
        told = self.told()
        return told["power"] == "starting" and Path(f"/proc/{told.get('by', 0)}").exists()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        ends = time.monotonic() + LOCK_SECONDS
        with (self.folder / f"{self.name}.lock").open("w") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > ends:
                        raise CannotPower(f"{self.name}: another start or stop hangs", 3) from None
                    time.sleep(POLL)
            yield

    def start(self) -> None:
        with self.locked():
            if self.pid():
                return
            self.sweep()
            now = time.monotonic()
            boots = int(self.told()["boots"]) + 1
            self.tell(power="starting", pid=0, by=os.getpid(), spawned=now, boots=boots)
            self.link("up")
            child = self.spawn(self.folder / f"{self.name}.console")
            self.tell(pid=child.pid)
            ends = now + LEADER_SECONDS
            while not self.leader():
                if child.poll() is not None:
                    raise CannotPower(f"{self.name}: did not start: {self.last_words()}")
                if time.monotonic() > ends:
                    self.kill()
                    raise CannotPower(f"{self.name}: no leader after {LEADER_SECONDS:.0f} s", 3)
                time.sleep(POLL)
            self.tell(power="running", leader_seconds=time.monotonic() - now)

    def last_words(self) -> str:
        said = (self.folder / f"{self.name}.console").read_text(errors="replace").split("\n")
        return " ".join(line.strip() for line in said[-3:] if line.strip()) or "it said nothing"

    def stop(self) -> None:
        with self.locked():
            pid, leader = self.pid(), self.leader()
            if pid:
                self.tell(power="stopping")
                if leader:
                    os.kill(leader, self.shutdown)
                if not gone(pid, STOP_SECONDS):
                    self.tell(power="running")
                    raise CannotPower(
                        f"{self.name}: still not off {STOP_SECONDS:.0f} s after the shutdown", 3
                    )
            self.link("down")
            self.sweep()
            self.tell(power="off", pid=0)

    def kill(self) -> None:
        """Power loss. Takes no lock, because it must also end a start or stop that hangs."""
        ends = time.monotonic() + KILL_SECONDS
        while self.beginning() and not self.pid() and time.monotonic() < ends:
            time.sleep(POLL)  # a start that was announced but has not spawned would outlive us
        pid, victims = self.pid(), self.processes()
        try:
            # First: a machine that loses power says no goodbye to its peers.
            self.link("down")
        finally:
            for each in victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)
            if pid and not gone(pid, KILL_SECONDS):
                raise CannotPower(f"{self.name}: survived SIGKILL for {KILL_SECONDS:.0f} s", 3)
            self.sweep()
            self.tell(power="off", pid=0)

    def sweep(self) -> None:
        """End what is left of the machine, so that its next boot meets nothing of this one."""
        ends = time.monotonic() + KILL_SECONDS
        while (pids := self.left()) is not None and time.monotonic() < ends:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(POLL)


def gone(pid: int, seconds: float) -> bool:
    """Wait for the end of a process that need not be our child; a zombie has ended."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        try:
            if not Path(f"/proc/{pid}/cmdline").read_bytes():
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(POLL)
    return False


def main(kind: Callable[[Path, str], Machine], arguments: list[str]) -> int:
    verbs = ("start", "stop", "kill", "state")
    if len(arguments) != 3 or arguments[1] not in verbs:
        print(f"usage: HOME {'|'.join(verbs)} NAME", file=sys.stderr)
        return 2
    home, verb, name = arguments
    try:
        machine = kind(Path(home), name)
        if verb == "start":
            machine.start()
        elif verb == "stop":
            machine.stop()
        elif verb == "kill":
            machine.kill()
        print(json.dumps({"machine": name, "power": machine.power()}))
    except FileNotFoundError as error:
        print(f"{home}: no lab here ({error.filename} is missing)", file=sys.stderr)
        return 4
    except CannotPower as error:
        print(error, file=sys.stderr)
        return error.code
    return 0
