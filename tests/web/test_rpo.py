"""The age of the newest verified backup, as complaints; the clock is the test's own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.backups import Backups
from orchestrator.rpo import LATE, TOO_LATE, RpoAlarm
from tests.cli.test_backups import POINT
from tests.web.world import NIGHT, World

DAY = 86400.0


class Clock:
    def __init__(self) -> None:
        self.at = 100 * DAY

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock(world: World) -> Clock:
    made = Clock()
    world.coordinator.now = made
    return made


@pytest.fixture
def alarm(world: World) -> RpoAlarm:
    return RpoAlarm(Backups(world.coordinator, {"night": NIGHT}))


def said(alarm: RpoAlarm) -> tuple[bool, bool]:
    asked = alarm.complaints()
    return bool(asked[LATE]()), bool(asked[TOO_LATE]())


def test_it_warns_past_the_target_and_is_critical_past_the_maximum(
    world: World, clock: Clock, alarm: RpoAlarm
) -> None:
    world.store.restore_points.record(replace(POINT, covers_until=clock.at))
    assert said(alarm) == (False, False)
    clock.at += NIGHT.rpo_target_s + 1
    assert said(alarm) == (True, False)
    assert "redis-1 is 1 h 1 s old" in alarm.complaints()[LATE]()
    clock.at += NIGHT.rpo_maximum_s - NIGHT.rpo_target_s
    assert said(alarm) == (True, True)
    world.store.restore_points.record(replace(POINT, id="redis-2", covers_until=clock.at))
    assert said(alarm) == (False, False)


def test_proving_an_old_backup_again_does_not_make_it_young(
    world: World, clock: Clock, alarm: RpoAlarm
) -> None:
    old = replace(POINT, covers_until=clock.at - DAY, verified_at=clock.at, reported_at=clock.at)
    world.store.restore_points.record(old)
    assert said(alarm) == (True, True)


def test_a_backup_that_never_was_is_missed_since_it_was_wanted(
    world: World, clock: Clock, alarm: RpoAlarm
) -> None:
    assert said(alarm) == (False, False)
    clock.at += NIGHT.rpo_maximum_s + 1
    # A coordinator that restarts does not begin to count anew.
    again = RpoAlarm(Backups(world.coordinator, {"night": NIGHT}))
    assert said(again) == (True, True)
    assert "there is none" in again.complaints()[LATE]()


def test_without_jobs_there_is_nothing_to_complain_about(world: World) -> None:
    assert RpoAlarm(Backups(world.coordinator, {})).complaints() == {}
