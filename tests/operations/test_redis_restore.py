"""redis.restore on a real machine: the fence under a real systemd, which starts the unit by what
is written beside it, also after its Redis was killed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.backup import dump, fencing, proving
from tasks.backup.scratch import Programs
from tasks.contract import Outcome
from tasks.host import LocalHost
from tasks.ssh import SshHost
from tests.backup.rig import redis
from tests.integration.rig import wait_for
from tests.operations.a_machine import do, unit

pytestmark = pytest.mark.timeout(900)

UNIT, FOLDER, PORT, BACKUP = "restored", "/var/lib/restored", 6398, "/root/to-restore"
GIVEN: dict[str, Any] = {"unit": UNIT, "address": "127.0.0.1", "port": PORT}


def cli(host: SshHost, *words: str, at: str = "127.0.0.1") -> str:
    argv = ("redis-cli", "-h", at, "-p", str(PORT), *words)
    return host.run(argv, seconds=10).out.strip()


@pytest.fixture
def backup(machine: SshHost, tmp_path: Path) -> str:
    """A proved backup, on the machine."""
    with redis(tmp_path / "source") as source:
        source.fill(300)
        folder, _ = dump.take(dump.Settings(f"{tmp_path}/b", "127.0.0.1", source.port))
    proved, _ = proving.prove(LocalHost(), str(folder), Programs())
    assert proved.state == "verified", proved.reason
    machine.run(("mkdir", "-p", BACKUP), seconds=10)
    for name in (proving.DUMP, proving.MANIFEST):
        machine.write(f"{BACKUP}/{name}", (folder / name).read_bytes())
    return BACKUP


@pytest.fixture
def server(machine: SshHost) -> Iterator[SshHost]:
    """As Debian starts it: with a sign of readiness, and not as root."""
    machine.run(("install", "-d", "-o", "redis", "-g", "redis", FOLDER), seconds=10)
    start = f"/usr/bin/redis-server --port {PORT} --dir {FOLDER} --appendonly yes"
    lines = ("Type=notify", "User=redis", "Restart=always", "RestartSec=100ms")
    unit(machine, UNIT, *lines, f'ExecStart={start} --save "" --supervised systemd')
    try:
        assert do(machine, "service.start", unit=UNIT).outcome.succeeded
        assert cli(machine, "SET", "precious", "live") == "OK"
        yield machine
    finally:
        machine.run(("systemctl", "stop", "--", UNIT), seconds=30)
        machine.run(("rm", "-r", "-f", "--", FOLDER, fencing.folder_of(UNIT)), seconds=10)


def test_it_is_fenced_by_systemd_and_opened_without_another_start(
    server: SshHost, backup: str
) -> None:
    result = do(server, "redis.restore", backup=backup, **GIVEN)
    assert result.outcome is Outcome.DONE, result.reason
    assert (cli(server, "GET", "doc:7"), cli(server, "GET", "precious")) == ("value 7", "")
    assert not server.run(("test", "-e", fencing.folder_of(UNIT)), seconds=10).ok
    assert do(server, "redis.restore_undo", **GIVEN).outcome is Outcome.DONE
    assert cli(server, "GET", "precious") == "live"


def test_a_redis_that_dies_unverified_comes_back_behind_the_fence(
    server: SshHost, backup: str
) -> None:
    text = (server.read(f"{backup}/{proving.MANIFEST}") or "").replace('"total": 300', '"total": 9')
    server.write(f"{backup}/{proving.MANIFEST}", text.encode())
    result = do(server, "redis.restore", backup=backup, prove_here=False, **GIVEN)
    assert (result.outcome, "nobody but us reaches it" in result.reason) == (Outcome.FAILED, True)
    server.run(("systemctl", "kill", "--signal=KILL", "--", UNIT), seconds=10)
    wait_for("systemd's restart", lambda: cli(server, "PING", at=fencing.ADDRESS) == "PONG")
    assert cli(server, "PING") == ""
    assert do(server, "redis.restore_undo", **GIVEN).outcome is Outcome.DONE
    assert cli(server, "GET", "precious") == "live"
