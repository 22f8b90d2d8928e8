"""Which backups are kept, and their removal from a real folder."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from tasks.backup.manifest import Manifest, State
from tasks.backup.retention import Dated, Keep, may_go
from tasks.catalog import operations
from tasks.contract import Outcome
from tasks.host import LocalHost
from tasks.operation import Result, carry_out

DAY = 86400.0
MONDAY = 4 * DAY
NOW = MONDAY + 400 * DAY
KEEP = Keep(within_s=2 * DAY, daily=3, weekly=2, monthly=2)


def nightly(days: int, state: State = State.VERIFIED) -> list[Dated]:
    """One each night before `NOW`, named by its age in days."""
    return [Dated(f"d{age}", NOW - age * DAY - 3600, state) for age in range(days)]


def kept(known: list[Dated], keep: Keep = KEEP) -> set[str]:
    return {each.id for each in known} - set(may_go(known, keep, NOW))


def test_days_weeks_and_months_keep_the_newest_of_each() -> None:
    known = nightly(100)
    stays = kept(known)
    assert {"d0", "d1", "d2"} <= stays, "three days"
    weeks = sorted(int(each[1:]) for each in stays)
    assert len(stays) <= 3 + 1 + 2
    assert max(weeks) < 62, "nothing beyond two months"
    assert kept(known, Keep(0, 0, 0, 0)) == {"d0"}, "the newest verified stays whatever is asked"
    assert len(kept(known, Keep(0, 0, 0, 3))) == 3


def test_without_a_verified_one_everything_stays() -> None:
    known = nightly(50, State.TAKEN)
    assert kept(known) == {each.id for each in known}
    failed = nightly(50, State.FAILED)
    assert kept(failed) == {each.id for each in failed}


def test_a_failed_one_counts_for_no_day_and_stays_only_for_a_while() -> None:
    failed = [Dated(f"f{age}", NOW - age * DAY, State.FAILED) for age in (0, 1, 3)]
    stays = kept([*nightly(3), *failed])
    assert stays == {"d0", "d1", "d2", "f0", "f1"}


def write(folder: Path, name: str, age_days: float, state: State, now: float) -> None:
    (folder / name).mkdir()
    manifest = Manifest(
        name, "here", now - age_days * DAY, now - age_days * DAY, 5, "ab", 10, True, state=state
    )
    (folder / name / "manifest.json").write_text(json.dumps(asdict(manifest)))
    (folder / name / "dump.rdb").write_bytes(b"REDIS")


def prune(folder: Path) -> Result:
    host = LocalHost()
    given = {"into": str(folder), "within_s": DAY, "daily": 1, "weekly": 0, "monthly": 0}
    return carry_out(host, operations()["redis.prune"], given, ends=host.now() + 20)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    now = LocalHost().now()
    for name, age, state in (
        ("redis-new", 0.1, State.VERIFIED),
        ("redis-old", 40, State.VERIFIED),
        ("redis-bad", 30, State.FAILED),
    ):
        write(tmp_path, name, age, state, now)
    (tmp_path / "redis-strange").mkdir()
    (tmp_path / ".going-redis-half").mkdir()
    return tmp_path


def test_what_need_not_be_kept_goes_and_nothing_else(folder: Path) -> None:
    result = prune(folder)
    assert result.outcome is Outcome.DONE, result
    assert sorted(each.name for each in folder.iterdir()) == ["redis-new", "redis-strange"]
    assert set(json.loads(result.detail)["pruned"]) == {"redis-old", "redis-bad", "redis-half"}
    assert "without a readable manifest: redis-strange" in result.reason
    assert prune(folder).outcome is Outcome.UNCHANGED


def test_the_only_verified_one_stays_however_old(folder: Path) -> None:
    (folder / "redis-new" / "manifest.json").unlink()
    assert prune(folder).outcome is Outcome.DONE
    assert (folder / "redis-old" / "dump.rdb").exists()
