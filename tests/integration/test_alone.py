"""An agent backs up by itself, by the sheet that it was given: no broker, and one of each."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.core.backups import Keep
from orchestrator.core.incident import State
from orchestrator.core.restorepoints import PointState
from tests.integration import rig
from tests.integration.test_backups import BackupSite
from workers.journal import Journal
from workers.ledger import JOURNAL


@pytest.fixture
def here(tmp_path: Path) -> Iterator[BackupSite]:
    with ExitStack() as stack:
        broker = stack.enter_context(rig.broker("valkey", tmp_path))
        yield BackupSite(broker, tmp_path, stack)


def alone(here: BackupSite, job: str = "night", **more: str) -> subprocess.Popen[str]:
    """What the timer's unit runs, with the agent's environment file."""
    argv = [sys.executable, "-m", "workers.alone", job]
    environment = {**os.environ, **here.agents["one"].environment, **more}
    return subprocess.Popen(argv, cwd=rig.ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def ended(child: subprocess.Popen[str]) -> tuple[int, str]:
    _, said = child.communicate(timeout=60)
    return child.returncode, said


def sheet(here: BackupSite) -> Path:
    return here.directory / "one" / "jobs" / "night.json"


def test_with_the_broker_down_it_is_taken_proved_and_once_in_the_catalogue_later(
    here: BackupSite,
) -> None:
    here.job = replace(here.job, keep=Keep(0.001, 1, 0, 0))
    here.coordinator({})
    here.begin()
    here.redis.fill(50)
    here.backups.hand_out()
    rig.wait_for("the sheet", sheet(here).exists)
    here.broker.kill()
    code, said = ended(alone(here))
    assert code == 0, said
    assert "50 keys" in said
    assert "the report waits for the broker" in said
    assert list(here.store.restore_points.newest(limit=10)) == []
    here.broker.start()
    rig.wait_for("the report", lambda: bool(here.store.restore_points.newest(limit=10)), seconds=40)
    (point,) = here.store.restore_points.newest(limit=10)
    assert (point.state, point.job, point.vault) == (PointState.VERIFIED, "night", "one")
    assert [each.name for each in Path(here.job.folder).glob("redis-*")] == [point.id]
    # The same report again, as after a crash between sending and noting it.
    journal = Journal(here.directory / "one" / JOURNAL)
    rig.wait_for("the outbox", lambda: journal.unsent() == [])
    journal.close()
    # It has no run of its own, and nothing that is ordered afterwards is refused as stale.
    assert list(here.store.runs()) == []
    later = here.ended(here.backups.take("night", reason="a test").run)
    assert later.state is State.RESOLVED, later.reason
    assert len(here.store.restore_points.newest(limit=10)) == 1, "the older one went"


def test_beside_an_ordered_backup_both_are_taken_one_after_the_other(here: BackupSite) -> None:
    here.redis.ask("CONFIG", "SET", "rdbcompression", "no")
    here.redis.ask("DEBUG", "POPULATE", "3000", "doc:", "1000")
    here.job = replace(here.job, bytes_per_s=700_000.0)
    here.coordinator({})
    here.begin()
    here.backups.hand_out()
    rig.wait_for("the sheet", sheet(here).exists)
    run = here.backups.take("night", reason="a test").run
    rig.wait_for("progress", lambda: bool(here.store.headways.of_run(run)), seconds=40)
    code, said = ended(alone(here))
    assert code == 0, said
    assert here.ended(run).state is State.RESOLVED

    def both() -> bool:
        return len(here.store.restore_points.newest(limit=10)) == 2

    rig.wait_for("both in the catalogue", both)
    first, second = sorted(here.store.restore_points.newest(limit=10), key=lambda e: e.taken_at)
    assert {first.state, second.state} == {PointState.VERIFIED}
    assert second.taken_at >= (first.verified_at or 0), "never at the same time"


def test_without_a_sheet_and_with_one_that_was_changed_nothing_is_done(here: BackupSite) -> None:
    here.coordinator({})
    here.begin()
    code, said = ended(alone(here))
    assert (code, "no job sheet for 'night' (held: none)" in said) == (2, True)
    assert ended(alone(here, "../night"))[0] == 2
    here.backups.hand_out()
    rig.wait_for("the sheet", sheet(here).exists)
    text = sheet(here).read_text()
    sheet(here).write_text(text.replace(here.job.folder, "/somewhere/else"))
    code, said = ended(alone(here))
    assert (code, "forged" in said) == (2, True)
    sheet(here).write_text(text)
    here.redis.kill()
    code, said = ended(alone(here))
    assert (code, "no dump was taken" in said) == (3, True)
