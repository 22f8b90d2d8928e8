"""A proved dump of a real Redis goes to a restic repository elsewhere, and damage is found."""

from __future__ import annotations

import json
from pathlib import Path

from tasks.catalog import operations
from tasks.contract import Outcome
from tasks.host import LocalHost
from tasks.operation import Result, carry_out


def push(backup: Path, away: Path) -> Result:
    host = LocalHost()
    password = backup.parent.parent / "password"
    password.write_text("secret\n")
    given = {
        "job": "night",
        "into": str(backup.parent),
        "offsite": str(away),
        "offsite_password_file": str(password),
    }
    return carry_out(host, operations()["redis.offsite"], given, ends=host.now() + 5, tell=print)


def test_it_is_there_with_its_own_hash_or_not_at_all(backup: Path, tmp_path: Path) -> None:
    away = tmp_path / "away"
    pushed = push(backup, away)
    assert pushed.outcome is Outcome.DONE, pushed.reason
    point = json.loads(pushed.detail)["restore_point"]
    assert (point["id"], point["offsite"], point["state"]) == (backup.name, str(away), "verified")
    assert push(backup, away).outcome is Outcome.UNCHANGED
    pack = max((away / "data").glob("*/*"), key=lambda each: each.stat().st_size)
    pack.chmod(0o600)
    content = bytearray(pack.read_bytes())
    content[len(content) // 2] ^= 1
    pack.write_bytes(content)
    damaged = push(backup, away)
    assert damaged.outcome is Outcome.FAILED
    assert f"is not the same in {away}; `restic check --read-data`" in damaged.reason
