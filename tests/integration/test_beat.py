"""Beats as real processes on a real broker: each slot is taken once, whoever dies."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.config import Configuration, load
from tests.cli.a_home import FLEET, RUNBOOK
from tests.integration import rig
from tests.integration.test_backups import BackupSite

EVERY = 2.0


@pytest.fixture
def here(tmp_path: Path) -> Iterator[BackupSite]:
    with ExitStack() as stack:
        broker = stack.enter_context(rig.broker("valkey", tmp_path))
        site = BackupSite(broker, tmp_path, stack)
        site.job = replace(site.job, every_s=EVERY)
        yield site


def beat(here: BackupSite, name: str) -> rig.Process:
    """As a service manager starts one, with the same schedule in its fleet file."""
    home = here.directory / name
    (home / "runbooks").mkdir(parents=True)
    backups = f"""
backups:
  night: {{kind: redis, service: port, vault: control, folder: /nowhere, every: {EVERY:g} s}}
"""
    (home / "fleet.yaml").write_text(FLEET.format(port=1) + backups)
    (home / "runbooks" / "port.yaml").write_text(RUNBOOK.format(port=1))
    assert isinstance(load(home / "fleet.yaml", home / "runbooks"), Configuration)
    environment = {"AUTOBOT_DR_HOME": str(home), "AUTOBOT_DR_BROKER_URL": here.broker.url}
    argv = [sys.executable, "-m", "workers.beat"]
    return here.stack.enter_context(rig.running(argv, home / "log", environment))


def test_two_beats_do_not_double_and_one_may_be_killed(here: BackupSite) -> None:
    coordinator = here.coordinator({})
    here.begin()
    here.backups.known_since(here.job, time.time())
    first = beat(here, "first")
    beat(here, "second")

    def points() -> int:
        return len(here.store.restore_points.newest(limit=100))

    rig.wait_for("a backup", lambda: points() >= 1)
    first.kill()
    before = points()
    rig.wait_for("backups after one beat was killed", lambda: points() >= before + 2)
    runs = here.store.runs(limit=100)
    slots = {math.floor(each.opened_at / EVERY) for each in runs}
    assert len(slots) == len(runs), "a slot was taken twice"
    assert all(each.reason != "by hand" for each in runs)
    assert coordinator.listening_since is not None


def test_what_was_missed_while_no_beat_ran_is_taken_at_its_start(here: BackupSite) -> None:
    here.job = replace(here.job, every_s=None, at_s=_seconds_of_day(time.time() - 3600))
    here.coordinator({})
    here.begin()
    here.backups.known_since(here.job, time.time() - 7200)
    beat(here, "late")
    rig.wait_for("the missed backup", lambda: bool(here.store.restore_points.newest(limit=1)))
    assert len(here.store.runs(limit=10)) == 1


def _seconds_of_day(at: float) -> float:
    return at % 86400 // 60 * 60
