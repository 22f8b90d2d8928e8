"""Powers one machine of an nspawn lab: `nspawn.py HOME start|stop|kill|state NAME`.

What lives here: everything between "off" and "its systemd runs". What must not: what a
machine consists of; `deploy.lab.nspawn_lab` wrote that into HOME/lab.json. This is a
program of its own, with the standard library only, because the lab and the hypervisor
driver both use it and because it is on the path of every measured recovery.

Exit codes: 0 done, 1 it could not be done, 3 it did not end in time, 4 no such machine.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: Where a process can be put so that two machines never share a control group: their
#: systemds would see each other's services as leftovers of their own.
HIERARCHIES = tuple(
    Path(each) for each in ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup")
)
POLL = 0.01
LEADER_SECONDS, STOP_SECONDS, KILL_SECONDS, LOCK_SECONDS = 20.0, 25.0, 10.0, 60.0


class CannotPower(Exception):
    """The machine could not be powered; the sentence says what happened."""

    def __init__(self, sentence: str, code: int = 1) -> None:
        super().__init__(sentence)
        self.code = code


class Machine:
    """One machine of the lab at `home`, as its files and /proc show it."""

    def __init__(self, home: Path, name: str) -> None:
        lab = json.loads((home / "lab.json").read_text())
        if name not in lab["machines"]:
            raise CannotPower(
                f"{name}: not a machine of this lab ({', '.join(lab['machines'])})", 4
            )
        self.name = name
        self.namespace: str = lab["namespace"]
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
        """The nspawn process, or 0. A recycled pid does not carry the machine's name."""
        pid: int = self.told()["pid"]
        mark = f"--machine={self.plan['label']}".encode()
        try:
            return pid if pid and mark in Path(f"/proc/{pid}/cmdline").read_bytes() else 0
        except FileNotFoundError:
            return 0

    def leader(self) -> int:
        """The machine's own PID 1 as seen from here, or 0 while there is none."""
        return leader_of(self.pid())

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

    def link(self, state: str) -> None:
        """The cable. A machine without power does not answer, not even with a refusal."""
        if state == "up" and (self.folder / f"{self.name}.cut").exists():
            return
        link = ["ip", "-n", self.namespace, "link", "set", self.plan["link"], state]
        done = subprocess.run(link, capture_output=True, text=True, check=False, timeout=10)
        if done.returncode != 0:
            raise CannotPower(f"{self.name}: its link: {done.stderr.strip()}")

    def start(self) -> None:
        with self.locked():
            if self.pid():
                return
            self.sweep()
            now = time.monotonic()
            boots = int(self.told()["boots"]) + 1
            self.tell(power="starting", pid=0, by=os.getpid(), spawned=now, boots=boots)
            self.link("up")
            child = self.spawn()
            self.tell(pid=child.pid)
            ends = now + LEADER_SECONDS
            while not leader_of(child.pid):
                if child.poll() is not None:
                    raise CannotPower(f"{self.name}: did not start: {self.last_words()}")
                if time.monotonic() > ends:
                    self.kill()
                    raise CannotPower(f"{self.name}: no leader after {LEADER_SECONDS:.0f} s", 3)
                time.sleep(POLL)
            self.tell(power="running", leader_seconds=time.monotonic() - now)

    def spawn(self) -> subprocess.Popen[bytes]:
        groups = []
        for hierarchy in HIERARCHIES:
            if (hierarchy / "cgroup.procs").exists():
                (hierarchy / self.plan["label"]).mkdir(exist_ok=True)
                groups.append(hierarchy / self.plan["label"] / "cgroup.procs")

        def join() -> None:
            for group in groups:
                group.write_text("0")

        with (self.folder / f"{self.name}.console").open("wb") as console:
            return subprocess.Popen(
                self.plan["argv"],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=join,
            )

    def last_words(self) -> str:
        said = (self.folder / f"{self.name}.console").read_text(errors="replace").split("\n")
        return " ".join(line.strip() for line in said[-3:] if line.strip()) or "it said nothing"

    def stop(self) -> None:
        with self.locked():
            pid, leader = self.pid(), self.leader()
            if pid:
                self.tell(power="stopping")
                if leader:
                    os.kill(leader, signal.SIGRTMIN + 4)
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
        pid, leader = self.pid(), self.leader()
        try:
            # First: a machine that loses power says no goodbye to its peers.
            self.link("down")
        finally:
            for each in (pid, leader):
                if each:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(each, signal.SIGKILL)
            if pid and not gone(pid, KILL_SECONDS):
                raise CannotPower(f"{self.name}: survived SIGKILL for {KILL_SECONDS:.0f} s", 3)
            self.sweep()
            self.tell(power="off", pid=0)

    def sweep(self) -> None:
        """End what is left in the machine's control groups, and remove them."""
        for hierarchy in HIERARCHIES:
            top = hierarchy / self.plan["label"]
            if not (hierarchy / "cgroup.procs").exists() or not top.is_dir():
                continue
            ends = time.monotonic() + KILL_SECONDS
            while not _removed(top) and time.monotonic() < ends:
                time.sleep(POLL)


def leader_of(pid: int) -> int:
    """The child of nspawn that has become systemd; before that it is still nspawn setting up."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split() if pid else []
        for child in children:
            if os.path.basename(os.readlink(f"/proc/{child}/exe")) == "systemd":
                return int(child)
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0


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


def _removed(top: Path) -> bool:
    for folder, _, _ in os.walk(top, topdown=False):
        try:
            for pid in (Path(folder) / "cgroup.procs").read_text().split():
                # 0 stands for a process of another PID namespace, which is not ours to end.
                if pid != "0":
                    os.kill(int(pid), signal.SIGKILL)
            os.rmdir(folder)
        except (OSError, ProcessLookupError):
            continue
    return not top.exists()


def main(arguments: list[str]) -> int:
    verbs = ("start", "stop", "kill", "state")
    if len(arguments) != 3 or arguments[1] not in verbs:
        print(f"usage: nspawn.py HOME {'|'.join(verbs)} NAME", file=sys.stderr)
        return 2
    home, verb, name = arguments
    try:
        machine = Machine(Path(home), name)
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
