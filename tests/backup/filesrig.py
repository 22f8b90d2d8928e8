"""A machine with files, databases and repositories, and its vault behind a real sshd and rclone.

Both are folders here. Orders are carried out as an agent does it, each on its own operation.
"""

from __future__ import annotations

import getpass
import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tasks.catalog import operations
from tasks.host import LocalHost
from tasks.operation import Result, carry_out
from tests.contracts.sshd import Sshd, running_sshd

JOB = "one-files"


class Site:
    """What is backed up is in `live`; the vault's repository is `vault/one`."""

    def __init__(self, home: Path, sshd: Sshd | None = None) -> None:
        for program in ("restic", "rclone", "git"):
            if shutil.which(program) is None:
                pytest.fail(f"{program} is missing: apt-get install {program}")
        self.home, self.sshd = home, sshd
        self.live, self.repository = home / "live", home / "vault" / "one"
        self.room = home / "room"
        self.password = home / "password"
        self.password.write_text("secret\n")
        (home / "vault").mkdir()
        if sshd:
            self.restrict_key(sshd)
        self.fill()

    def restrict_key(self, sshd: Sshd) -> None:
        """The machine's key opens an append-only door, and nothing else."""
        serve = f"rclone serve restic --stdio --append-only {self.repository}"
        public = (sshd.home / "key.pub").read_text()
        (sshd.home / "authorized_keys").write_text(f'restrict,command="{serve}" {public}')

    def fill(self) -> None:
        (self.live / "store" / "index").mkdir(parents=True)
        (self.live / ".env").write_text("SECRET=1\n")
        (self.live / ".env").chmod(0o600)
        (self.live / "app.service").write_text("[Service]\n")
        (self.live / "store" / "index" / "data.bin").write_bytes(os.urandom(300_000))
        (self.live / "store" / "log.tmp").write_text("not wanted")
        os.symlink("../app.service", self.live / "store" / "link")
        with closing(self.database()) as opened:
            opened.execute("PRAGMA journal_mode=WAL")
            opened.execute("CREATE TABLE notes (at, what)")
            opened.executemany("INSERT INTO notes VALUES (?, ?)", [(n, "x") for n in range(500)])
            opened.commit()
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit("first")
        self.git("tag", "v1")
        self.git("branch", "other")

    def database(self) -> sqlite3.Connection:
        return sqlite3.connect(self.live / "store" / "notes.sqlite3", timeout=30)

    def git(self, *words: str) -> str:
        (self.live / "repo").mkdir(exist_ok=True)
        who = ("-c", "user.name=test", "-c", "user.email=test@localhost")
        argv = ["git", "-C", str(self.live / "repo"), *who, *words]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout

    def commit(self, what: str) -> None:
        (self.live / "repo" / "file").write_text(what)
        self.git("add", "file")
        self.git("commit", "--quiet", "--message", what)

    def backup(self, **but: Any) -> Result:
        return self.do("files.backup", self.wanted(**but))

    def wanted(self, **but: Any) -> dict[str, Any]:
        return {
            **self.way(),
            "machine": "one",
            "max_bytes": 10_000_000,
            "staging": str(self.room / "staging"),
            "include": [str(self.live / each) for each in (".env", "*.service", "store")],
            "exclude": ["*.tmp"],
            "sqlite": [f"{self.live}/store/*.sqlite3"],
            "git": [str(self.live / "repo")],
            **but,
        }

    def way(self) -> dict[str, Any]:
        """How the machine comes to its vault."""
        here = {
            "job": JOB,
            "folder": str(self.repository),
            "password_file": str(self.password),
        }
        if self.sshd is None:
            return here
        return {
            **here,
            "vault_address": "127.0.0.1",
            "push_user": getpass.getuser(),
            "push_key": str(self.sshd.home / "key"),
            "push_port": self.sshd.port,
            "push_known_hosts": str(self.sshd.home / "known_hosts"),
        }

    def at_vault(self, name: str, **more: Any) -> Result:
        given = {"job": JOB, "folder": str(self.repository), "password_file": str(self.password)}
        if name == "files.check":
            del given["job"]
        return self.do(name, {**given, **more})

    def prove(self, **more: Any) -> Result:
        return self.at_vault("files.prove", **more)

    def do(self, name: str, arguments: dict[str, Any]) -> Result:
        host = LocalHost()
        return carry_out(host, operations()[name], arguments, ends=host.now() + 2, tell=print)

    def restic(self, *words: str, repository: Path | None = None) -> str:
        at = str(repository or self.repository)
        argv = ["restic", "-r", at, "--password-file", str(self.password), "--no-cache", *words]
        ran = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def snapshots(self, repository: Path | None = None) -> list[str]:
        said = json.loads(self.restic("snapshots", "--json", "--no-lock", repository=repository))
        return [each["id"] for each in said]

    def packs(self) -> list[Path]:
        return sorted((self.repository / "data").glob("*/*"), key=lambda e: -e.stat().st_size)


def point(result: Result) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(result.detail)["restore_point"]
    return said


@contextmanager
def site(home: Path, *, over_ssh: bool = False) -> Iterator[Site]:
    if not over_ssh:
        yield Site(home)
        return
    with running_sshd(home) as sshd:
        yield Site(home, sshd)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own that is soon full."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
