"""A service: its unit file, its process, and its states under systemd's names.

What lives here: one unit's life from start to end. What must not: the machine, and what
systemctl prints.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shlex
import signal
import socket
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.lab.processes import die_with_parent

START_TIMEOUT, STOP_TIMEOUT = 90.0, 90.0


@dataclass(frozen=True, slots=True)
class UnitFile:
    """A .service file with its drop-ins, as far as this supervisor understands them."""

    description: str
    condition: str
    command: tuple[str, ...]
    environment: dict[str, str]
    environment_files: tuple[str, ...]
    folder: str
    notifies: bool
    restarts: bool
    restart_s: float
    start_s: float
    stop_s: float


def read(path: Path) -> UnitFile:
    said: dict[str, list[str]] = {}
    drop_ins = sorted((path.parent / f"{path.name}.d").glob("*.conf"))
    for line in [line for each in (path, *drop_ins) for line in each.read_text().splitlines()]:
        name, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            said.setdefault(name, []).append(value.strip())

    def last(name: str, default: str = "") -> str:
        return said.get(name, [default])[-1]

    pairs = (word.partition("=") for line in said.get("Environment", []) for word in line.split())
    return UnitFile(
        description=last("Description"),
        condition=last("ConditionPathExists"),
        command=tuple(shlex.split(last("ExecStart"))),
        environment={name: value for name, _, value in pairs},
        environment_files=tuple(said.get("EnvironmentFile", [])),
        folder=last("WorkingDirectory", "/"),
        notifies=last("Type", "simple") == "notify",
        restarts=last("Restart", "no") == "always",
        restart_s=float(last("RestartSec", "0.1")),
        start_s=float(last("TimeoutStartSec", str(START_TIMEOUT))),
        stop_s=float(last("TimeoutStopSec", str(STOP_TIMEOUT))),
    )


def read_environment(path: str) -> dict[str, str]:
    """An EnvironmentFile; one whose name starts with a dash may be missing."""
    try:
        lines = Path(path.removeprefix("-")).read_text().splitlines()
    except FileNotFoundError:
        if path.startswith("-"):
            return {}
        raise
    pairs = (line.partition("=") for line in lines if line.strip() and not line.startswith("#"))
    return {name: "".join(shlex.split(value)) for name, _, value in pairs}


@dataclass
class Unit:
    """A unit's state, and the process behind it."""

    name: str
    path: Path
    base: dict[str, str]  #: the machine's own environment, under the unit's
    journal: Path
    active: str = "inactive"
    sub: str = "dead"
    result: str = "success"
    exit_status: int = 0
    restarts: int = 0
    invocation: str = ""
    left_inactive: float = 0.0
    became_active: float = 0.0
    process: asyncio.subprocess.Process | None = None
    _waiter: asyncio.Task[None] | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _ordered: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self.reload()

    def reload(self) -> None:
        """What runs is left alone; how it ends goes by the new file."""
        self.file = read(self.path)

    @property
    def main_pid(self) -> int:
        return self.process.pid if self.process and self.process.returncode is None else 0

    async def start(self) -> bool:
        """Start unless it runs, and wait for the outcome, as `systemctl start` does."""
        if self.active in ("inactive", "failed"):
            if self.file.condition and not Path(self.file.condition).exists():
                return True
            self.restarts = 0
            await self._spawn()
        # One failed try is the answer, whatever the restarts after it will bring.
        while self.active == "activating" and self.sub != "auto-restart":
            await self._next_change()
        return self.active == "active"

    def later(self, order: Coroutine[Any, Any, None]) -> None:
        """Carry an order out without anybody waiting for it, as `--no-block` asks."""
        self._ordered = asyncio.create_task(order)

    async def stop(self) -> None:
        if self.active in ("inactive", "failed"):
            return
        self._become("deactivating", "stop-sigterm")
        if self.main_pid:
            self.signal(signal.SIGTERM)
            self.signal(signal.SIGCONT)  # a stopped process must hear that it has to end
        ends = time.monotonic() + self.file.stop_s
        while self.main_pid and time.monotonic() < ends:
            await self._next_change(ends - time.monotonic())
        if self.main_pid:
            self.result = "timeout"
            self.signal(signal.SIGKILL)
        while self.active == "deactivating" and self.process:
            await self._next_change()
        if self.active == "deactivating":
            self._become("inactive", "dead")

    def signal(self, number: int) -> None:
        """To the whole process group, as systemd signals a control group."""
        if self.main_pid:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.main_pid, number)

    def reset(self) -> None:
        self.restarts = 0
        if self.active == "failed":
            self._become("inactive", "dead")

    async def _spawn(self) -> None:
        self.invocation = secrets.token_hex(16)
        self.result, self.exit_status = "success", 0
        self.left_inactive = time.monotonic()
        self._become("activating", "start")
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        # Abstract, because a path in a deep home would be too long for a socket.
        notify.bind(f"\0autobot-dr-{self.invocation}")
        notify.setblocking(False)
        environment = {**self.base, "NOTIFY_SOCKET": f"@autobot-dr-{self.invocation}"}
        environment |= self.file.environment
        try:
            for path in self.file.environment_files:
                environment |= read_environment(path)
            self.process = await asyncio.create_subprocess_exec(
                *self.file.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                process_group=0,
                preexec_fn=die_with_parent,  # a machine without power has no services
                limit=1 << 20,
                cwd=self.file.folder,
                env=environment,
            )
        except OSError as error:
            notify.close()
            self.log(f"could not be started: {error}")
            self.result, self.exit_status = "exit-code", 203
            self._become("failed", "failed")
            return
        self._waiter = asyncio.create_task(self._follow(self.process, notify))

    async def _follow(self, process: asyncio.subprocess.Process, notify: socket.socket) -> None:
        output = asyncio.create_task(self._write_journal(process))
        ready = asyncio.create_task(self._await_ready(process, notify))
        await process.wait()
        ready.cancel()
        notify.close()
        # What it started may hold the pipe open; its own last words are in it already.
        await asyncio.wait([output], timeout=0.2)
        output.cancel()
        await self._ended(process.returncode or 0)

    async def _await_ready(
        self, process: asyncio.subprocess.Process, notify: socket.socket
    ) -> None:
        if self.file.notifies:
            loop = asyncio.get_running_loop()
            try:
                async with asyncio.timeout(self.file.start_s):
                    while b"READY=1" not in await loop.sock_recv(notify, 4096):
                        pass
            except TimeoutError:
                self.result = "timeout"
                self.signal(signal.SIGKILL)
                return
        if process.returncode is None and self.active == "activating":
            self.became_active = time.monotonic()
            self._become("active", "running")

    async def _ended(self, code: int) -> None:
        stopping = self.active == "deactivating"
        self.exit_status = -code if code < 0 else code
        if self.result == "success" and code and not stopping:
            self.result = "signal" if code < 0 else "exit-code"
        self.process = None
        if stopping and self.result == "success":
            self._become("inactive", "dead")
        elif not stopping and self.file.restarts:
            self._become("activating", "auto-restart")
            mine = self.invocation
            await asyncio.sleep(self.file.restart_s)
            if self.sub == "auto-restart" and self.invocation == mine:
                self.restarts += 1
                await self._spawn()
        elif self.result == "success":
            self._become("inactive", "dead")
        else:
            self._become("failed", "failed")

    async def _write_journal(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None  # noqa: S101 (for the type checker: it is a pipe)
        while line := await process.stdout.readline():
            self.log(line.decode(errors="replace").rstrip(), process.pid)

    def log(self, line: str, pid: int = 1) -> None:
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")
        who = "systemd" if pid == 1 else Path(self.file.command[0]).name
        with self.journal.open("a") as journal:
            journal.write(f"{at} {self.base['HOSTNAME']} {who}[{pid}]: {line}\n")

    def _become(self, active: str, sub: str) -> None:
        self.active, self.sub = active, sub
        self.log(f"{self.name}.service: {active} ({sub})")
        self._changed.set()
        self._changed = asyncio.Event()

    async def _next_change(self, seconds: float | None = None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
