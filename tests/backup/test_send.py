"""backup.send through a real sshd, under a key that it knows and one that it does not."""

from __future__ import annotations

import getpass
from pathlib import Path

from tasks.catalog import operations
from tasks.contract import Outcome
from tasks.host import LocalHost
from tasks.operation import Result, carry_out
from tests.contracts.sshd import Sshd, running_sshd


def send(sshd: Sshd, backup: Path, into: Path, known_hosts: str = "known_hosts") -> Result:
    host = LocalHost()
    arguments = {
        "backup": str(backup),
        "into": str(into),
        "address": "127.0.0.1",
        "ssh_user": getpass.getuser(),
        "ssh_key": str(sshd.home / "key"),
        "ssh_port": sshd.port,
        "ssh_known_hosts": str(sshd.home / known_hosts),
    }
    return carry_out(host, operations()["backup.send"], arguments, ends=host.now() + 30)


def test_a_backup_arrives_whole_and_only_once(tmp_path: Path) -> None:
    backup, into = tmp_path / "redis-1", tmp_path / "there" / "redis 'x'"
    backup.mkdir()
    (backup / "dump.rdb").write_bytes(bytes(range(256)) * 4000)
    (backup / "manifest.json").write_text("{}")
    with running_sshd(tmp_path) as sshd:
        assert send(sshd, backup, into).outcome is Outcome.DONE
        assert (into / "dump.rdb").read_bytes() == (backup / "dump.rdb").read_bytes()
        assert into.parent.stat().st_mode & 0o077 == 0
        assert send(sshd, backup, into).outcome is Outcome.UNCHANGED
        (into / "dump.rdb").write_bytes(b"damaged on its way")
        assert send(sshd, backup, into).outcome is Outcome.DONE
        assert (into / "dump.rdb").read_bytes() == (backup / "dump.rdb").read_bytes()
        assert [each.name for each in into.parent.iterdir()] == [into.name]


def test_a_host_that_is_not_known_gets_nothing(tmp_path: Path) -> None:
    backup, into = tmp_path / "redis-1", tmp_path / "there" / "redis-1"
    backup.mkdir()
    (backup / "dump.rdb").write_bytes(b"x")
    with running_sshd(tmp_path) as sshd:
        (tmp_path / "nobody").touch()
        result = send(sshd, backup, into, "nobody")
    assert result.outcome is Outcome.FAILED
    assert "did nothing" in result.reason
    assert not into.parent.exists()
