"""A home whose fleet is this machine: nothing in it reaches beyond loopback."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cli.conftest import AUTOBOT_DR, environment
from tests.integration.rig import free_port, wait_for

FLEET = """\
fleet: here
control: control
objectives:
  rto: {{target: 60 s, maximum: 2 min}}
  rpo: {{target: 1 h, maximum: 4 h}}
ssh: {{user: nobody, key: /nonexistent}}
contacts: nobody
machines:
  control: {{address: 127.0.0.1}}
services:
  port:
    machine: control
    unit: port.service
    port: {port}
    start_seconds: 10
    check: {{probe: tcp}}
"""

RUNBOOK = """\
title: The port does not answer
impact: None
symptoms: [Nobody answers]
services: [port]
estimate: [1 s, 10 s]
ladder:
  - rung: See that the machine can be reached
    steps:
      - machine.reachable: {{ssh_port: {port}, seconds: 10}}
"""


class Home:
    """Its folder, with ports of its own for everything that `up` starts."""

    def __init__(self, folder: Path, watched: int) -> None:
        self.folder = folder
        (folder / "runbooks").mkdir(parents=True)
        (folder / "fleet.yaml").write_text(FLEET.format(port=watched))
        (folder / "runbooks" / "port.yaml").write_text(RUNBOOK.format(port=watched))
        self.api, self.broker, self.flower = free_port(), free_port(), free_port()
        self.environment = environment(
            AUTOBOT_DR_HOME=str(folder),
            AUTOBOT_DR_LISTEN=f"127.0.0.1:{self.api}",
            AUTOBOT_DR_BROKER_LISTEN=f"127.0.0.1:{self.broker}",
            AUTOBOT_DR_FLOWER_LISTEN=f"127.0.0.1:{self.flower}",
            PYTHONUNBUFFERED="1",
        )
        assert self.run("init").returncode == 0

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [AUTOBOT_DR, *arguments],
            env=self.environment | more,
            capture_output=True,
            text=True,
            timeout=110,
        )

    def logs(self) -> str:
        found = sorted((self.folder / "state" / "logs").glob("*.log"))
        return "\n".join(f"== {each.name}\n{each.read_text()}" for each in found)

    def processes(self) -> list[str]:
        """The command lines of all processes that were told of this home."""
        marks = (f"AUTOBOT_DR_HOME={self.folder}".encode(), str(self.folder).encode())
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                told = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                # Valkey writes its title over its environment, but works in its own folder.
                told += os.fsencode((entry / "cwd").readlink())
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            if any(mark in told for mark in marks) and command:
                found.append(f"{entry.name} {command}")
        return found


class Up:
    """A running `autobot-dr up`."""

    def __init__(self, home: Home, **more: str) -> None:
        self.home = home
        self.out, self.err = home.folder / "up.out", home.folder / "up.err"
        with self.out.open("wb") as out, self.err.open("ab") as err:
            self.child = subprocess.Popen(
                [AUTOBOT_DR, "up"],
                env=home.environment | more,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def wait(self) -> None:
        def over() -> bool:
            return "is up on" in self.out.read_text() or self.child.poll() is not None

        wait_for("`autobot-dr up`", over, seconds=100)
        assert self.child.poll() is None, self.err.read_text() + self.home.logs()

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.child.poll() is None:
            self.child.send_signal(number)
        return self.child.wait(timeout=60)

    def pid_of(self, word: str) -> int:
        (found,) = [
            line
            for line in self.home.processes()
            if word in line and self.parent_of(int(line.split()[0])) == self.child.pid
        ]
        return int(found.split()[0])

    @staticmethod
    def parent_of(pid: int) -> int:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@contextmanager
def up(home: Home, **more: str) -> Iterator[Up]:
    started = Up(home, **more)
    try:
        started.wait()
        yield started
    finally:
        started.stop()
