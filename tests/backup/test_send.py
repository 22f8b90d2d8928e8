"""backup.send through a real sshd, under a key that it knows and one that it does not."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import Any

from tasks.catalog import operations
from tasks.contract import Outcome
from tasks.ending import EndableHost
from tasks.host import Host, LocalHost
from tasks.operation import SILENT, Moved, Result, Tell, carry_out
from tests.contracts.sshd import Sshd, running_sshd

HOST = LocalHost()


def send(
    sshd: Sshd,
    backup: Path,
    into: Path,
    known_hosts: str = "known_hosts",
    *,
    host: Host = HOST,
    tell: Tell = SILENT,
    **more: Any,
) -> Result:
    arguments = {
        "backup": str(backup),
        "into": str(into),
        "address": "127.0.0.1",
        "ssh_user": getpass.getuser(),
        "ssh_key": str(sshd.home / "key"),
        "ssh_port": sshd.port,
        "ssh_known_hosts": str(sshd.home / known_hosts),
        **more,
    }
    ends = host.now() + 30
    return carry_out(host, operations()["backup.send"], arguments, ends=ends, tell=tell)


def a_backup(place: Path, size: int) -> Path:
    backup = place / "redis-1"
    backup.mkdir()
    (backup / "dump.rdb").write_bytes(os.urandom(size))
    (backup / "manifest.json").write_text("{}")
    return backup


def test_one_that_was_ended_is_gone_on_with_where_it_was(tmp_path: Path) -> None:
    backup, into = a_backup(tmp_path, 6_000_000), tmp_path / "there" / "redis-1"
    part = into.with_name("redis-1.part")
    moved: list[Moved] = []

    def why() -> str:
        return "ended: a test" if len(moved) > 1 else ""

    with running_sshd(tmp_path) as sshd:
        ended = send(
            sshd,
            backup,
            into,
            host=EndableHost(HOST, why),
            tell=Tell(moved=moved.append),
            bytes_per_s=1_500_000,
        )
        assert ended.outcome is Outcome.FAILED
        assert "ended: a test" in ended.reason
        assert not into.exists()
        arrived = (part / "dump.rdb").stat().st_size
        assert 0 < arrived < 6_000_000
        assert moved[-1].total == 6_000_002
        told: list[str] = []
        assert send(sshd, backup, into, tell=Tell(told.append)).outcome is Outcome.DONE
    # What had left us when we were ended may still have come in.
    (first,) = (int(each.split()[3]) for each in told if "are there already" in each)
    assert first >= arrived
    assert (into / "dump.rdb").read_bytes() == (backup / "dump.rdb").read_bytes()
    assert not part.exists()


def test_what_is_there_and_not_its_beginning_is_sent_anew(tmp_path: Path) -> None:
    backup, into = a_backup(tmp_path, 300_000), tmp_path / "there" / "redis-1"
    part = into.with_name("redis-1.part")
    part.mkdir(parents=True)
    (part / "dump.rdb").write_bytes(b"another one's beginning")
    (part / "manifest.json").write_text("{} and more than it should be")
    (part / "of-another").write_text("x")
    with running_sshd(tmp_path) as sshd:
        assert send(sshd, backup, into).outcome is Outcome.DONE
    assert sorted(each.name for each in into.iterdir()) == ["dump.rdb", "manifest.json"]
    assert (into / "dump.rdb").read_bytes() == (backup / "dump.rdb").read_bytes()


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
