"""A PostgreSQL server of the tests' own: on a socket in a directory of its own, then gone.

For machines of the lab it also listens at an address in their network.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest

START_SECONDS = 30


class Server:
    """One running server; each `database` is new and empty."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._numbers = count(1)

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        socket = str(self.directory)
        return psycopg.connect(host=socket, user="dr", dbname=database, autocommit=True)

    def url(self, database: str, host: str = "") -> str:
        """By its socket, or by its address."""
        return f"postgresql://dr@/{database}?host={host or self.directory}"

    def new_database(self) -> str:
        name = f"test{next(self._numbers)}"
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return name


@contextmanager
def running_server(address: str = "", prefix: Sequence[str] = ()) -> Iterator[Server]:
    """`prefix` puts it where it has this address; everybody there is let in."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        pytest.skip("PostgreSQL is not installed here (Debian: apt install postgresql)")
    user = _owner()
    directory = Path(tempfile.mkdtemp(prefix="dr-pg-"))
    shutil.chown(directory, user)
    data, programs = directory / "data", found[-1].parent
    initdb = [str(programs / "initdb"), "-A", "trust", "-U", "dr", "-N", "-D", str(data)]
    subprocess.run(initdb, user=_switch(user), check=True, cwd="/", capture_output=True)
    arguments = ["-D", str(data), "-k", str(directory), "-c", f"listen_addresses={address}"]
    if address:
        with (data / "pg_hba.conf").open("a") as let_in:
            let_in.write("host all all samenet trust\n")
    become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [*prefix, *(become if _switch(user) else ()), str(programs / "postgres"), *arguments],
            cwd="/",
            stdout=log,
            stderr=log,
        )
    try:
        server = Server(directory)
        _await(server, process)
        yield server
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=START_SECONDS)
        shutil.rmtree(directory)


def _owner() -> str:
    """PostgreSQL refuses to run as root; its package brings a user."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name
    if "postgres" not in {each.pw_name for each in pwd.getpwall()}:
        pytest.skip("running as root, and there is no user postgres to run the server as")
    return "postgres"


def _switch(user: str) -> str | None:
    return user if os.geteuid() == 0 else None


def _await(server: Server, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            server.connect().close()
        except psycopg.OperationalError:
            if process.poll() is not None:
                break
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"PostgreSQL did not start: {(server.directory / 'log').read_text()}")
