"""redis.restore_keys and its undoing on real servers: as an agent carries them out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tasks.catalog import operations
from tasks.contract import Outcome
from tasks.host import LocalHost
from tasks.operation import Result, carry_out
from tests.backup.rig import Redis, redis

PLACE = "kept"


def order(live: Redis, tmp_path: Path, name: str = "redis.restore_keys", **given: Any) -> Result:
    host = LocalHost()
    where = {"address": "127.0.0.1", "port": live.port, "kept_in": f"{tmp_path}/{PLACE}"}
    return carry_out(host, operations()[name], {**where, **given}, ends=host.now() + 60)


def test_keys_come_back_and_go_again_with_one_order_each(backup: Path, tmp_path: Path) -> None:
    with redis(tmp_path / "live") as live:
        live.ask("SET", "doc:7", "changed", "EX", "500")
        live.ask("SET", "other", "stays")
        before = live.digest()
        given = {"backup": str(backup), "id": backup.name, "pattern": "doc:*"}
        dry = order(live, tmp_path, **given, dry_run=True)
        assert dry.outcome is Outcome.UNCHANGED
        assert "299 would be added, 1 replaced" in dry.reason
        assert live.digest() == before
        done = order(live, tmp_path, **given)
        assert done.outcome is Outcome.DONE, done.reason
        assert "299 were added, 1 replaced" in done.reason
        assert (live.ask("GET", "doc:7"), live.ask("TTL", "doc:7")) == (b"value 7", -1)
        undone = order(live, tmp_path, "redis.restore_keys_undo", id=backup.name)
        assert undone.outcome is Outcome.DONE, undone.reason
        assert live.digest() == before
        again = order(live, tmp_path, "redis.restore_keys_undo")
        assert again.outcome is Outcome.REFUSED


def test_a_pattern_that_nothing_matches_is_no_success(backup: Path, tmp_path: Path) -> None:
    with redis(tmp_path / "live") as live:
        done = order(live, tmp_path, backup=str(backup), pattern="dok:*")
        assert (done.outcome, "no key of the backup is like" in done.reason) == (
            Outcome.FAILED,
            True,
        )
        assert live.ask("DBSIZE") == 0


def test_killed_half_way_what_was_replaced_until_then_comes_back(
    backup: Path, tmp_path: Path
) -> None:
    """The file ends in the middle of a line, as a kill -9 leaves it."""
    with redis(tmp_path / "live") as live:
        live.ask("SET", "doc:7", "changed")
        before = live.digest()
        assert order(live, tmp_path, backup=str(backup), pattern="doc:*").outcome is Outcome.DONE
        (file,) = (tmp_path / PLACE).iterdir()
        lines = file.read_text().splitlines(keepends=True)
        assert "copied" in json.loads(lines[-1])
        file.write_text("".join(lines[:-1]) + lines[0][:20])
        assert order(live, tmp_path, "redis.restore_keys_undo").outcome is Outcome.DONE
        assert live.digest() == before
