"""Real Redis servers for these tests, each in a folder of its own, ended by its own pid."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tasks.backup.link import Link, LinkFault, Server
from tests.integration.rig import Process, free_port, listens, wait_for


class Redis:
    """One server process with its data folder; it can be killed, emptied and started again."""

    def __init__(self, folder: Path, options: dict[str, str], binary: str = "redis-server") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.port = folder, free_port()
        password = ""
        if "requirepass" in options:
            (folder / "password").write_text(options["requirepass"])
            password = str(folder / "password")
        self.server = Server("127.0.0.1", self.port, password)
        given = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(folder),
            "save": "",
            "repl-diskless-sync-delay": "0",
            "enable-debug-command": "yes",
            **options,
        }
        argv = [binary, *(part for name, value in given.items() for part in (f"--{name}", value))]
        self.process = Process(argv, folder / "log", {})
        self.wait()

    def wait(self) -> None:
        def ready() -> bool:
            if self.process.child.poll() is not None:
                raise AssertionError(f"redis-server ended: {self.log()[-2000:]}")
            return listens(self.port) and b"\nloading:0" in bytes(self.ask("INFO", "persistence"))

        wait_for("Redis", ready, seconds=60)

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def start(self) -> None:
        self.process.start()
        self.wait()

    def kill(self) -> None:
        self.process.kill()

    def ask(self, *words: str | bytes, database: int = 0) -> Any:
        with Link(self.server) as link:
            link.ask("SELECT", str(database))
            return link.ask(*words)

    def ask_all(self, commands: list[tuple[str | bytes, ...]]) -> list[object]:
        with Link(self.server) as link:
            return link.ask_all(commands)

    def fill(self, count: int, prefix: str = "doc:") -> None:
        self.ask_all([("SET", f"{prefix}{n}", f"value {n}") for n in range(count)])

    def digest(self) -> str:
        return str(self.ask("DEBUG", "DIGEST"))


@contextmanager
def redis(folder: Path, **options: str) -> Iterator[Redis]:
    if shutil.which("redis-server") is None:
        pytest.fail("redis-server is missing: apt-get install redis-server")
    server = Redis(folder, {name.replace("_", "-"): value for name, value in options.items()})
    try:
        yield server
    finally:
        server.process.kill()


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder whose path is short enough for a socket in it."""
    folder = Path(tempfile.mkdtemp(prefix="redisbackup-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


class Capture:
    """The capture process on a server, with its folder."""

    def __init__(self, home: Path, source: Redis, **settings: Any) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.root, self.source = home / "captured", source
        self.settings = home / "capture.json"
        content = {"directory": str(self.root), "address": "127.0.0.1", "port": source.port}
        self.settings.write_text(json.dumps({**content, "free_bytes": 1, **settings}))
        argv = [sys.executable, "-m", "tasks.backup.capture", "--settings", str(self.settings)]
        self.process = Process(argv, home / "capture.log", {})

    def status(self) -> dict[str, Any]:
        try:
            said: dict[str, Any] = json.loads((self.root / "status.json").read_text())
        except FileNotFoundError:
            return {}
        return said

    def wait_covered(self, seconds: float = 20) -> None:
        """Until everything that the source has now is on the disk."""
        wanted = source_offset(self.source)
        wait_for(
            "the capture",
            lambda: (
                self.status().get("pid") == self.process.child.pid
                and self.status()["state"] == "following"
                and self.status()["offset"] >= wanted
                and self.status().get("replid", "") == source_replid(self.source)
            ),
            seconds=seconds,
        )

    def histories(self) -> list[Path]:
        return sorted(self.root.glob("history-*"))


@contextmanager
def capture(home: Path, source: Redis, **settings: Any) -> Iterator[Capture]:
    made = Capture(home, source, **settings)
    try:
        yield made
    finally:
        made.process.kill()


def info(server: Redis, section: str) -> dict[str, str]:
    said = server.ask("INFO", section).decode()
    return dict(line.partition(":")[::2] for line in said.splitlines() if ":" in line)


def source_offset(server: Redis) -> int:
    return int(info(server, "replication")["master_repl_offset"])


def source_replid(server: Redis) -> str:
    return info(server, "replication")["master_replid"]


@contextmanager
def loaded(folder: Path, history: Path) -> Iterator[Redis]:
    """A plain redis-server on a copy of a captured history, as anyone would start it."""
    shutil.copytree(history, folder, dirs_exist_ok=True)
    with redis(folder, appendonly="yes") as server:
        yield server


def answers(server: Redis) -> bool:
    try:
        return bool(server.ask("PING") == "PONG")
    except LinkFault:
        return False
