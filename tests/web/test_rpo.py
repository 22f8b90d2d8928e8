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


HOUR = 3600.0


def test_it_warns_before_the_target_when_no_slot_comes_in_time(
    world: World, clock: Clock, alarm: RpoAlarm
) -> None:
    """By hand only, or by a slot that was not taken: from 80 % of the target on."""
    job = replace(NIGHT, at_s=2 * HOUR, rpo_target_s=26 * HOUR, rpo_maximum_s=50 * HOUR)
    alarm = RpoAlarm(Backups(world.coordinator, {"night": job}))
    taken = clock.at + 2 * HOUR
    world.store.restore_points.record(replace(POINT, covers_until=taken))
    # 23 h old, and the next slot comes in time.
    clock.at = taken + 23 * HOUR
    assert said(alarm) == (False, False)
    # The slot has just come, and whoever takes it is given a moment.
    clock.at = taken + 24 * HOUR + 60
    assert said(alarm) == (False, False)
    # Nobody took it, or it failed: the next one is too late.
    clock.at = taken + 24 * HOUR + 180
    assert said(alarm) == (True, False)
    assert "in 1 h 57 min, and none is due before" in alarm.complaints()[LATE]()
    run = Backups(world.coordinator, {"night": job}).take("night", reason="a test").run
    assert said(alarm) == (False, False), "one is being taken"
    world.coordinator.cancel(run, "eve")
    assert said(alarm) == (True, False)


def test_a_job_by_hand_warns_from_four_fifths_of_its_target_on(world: World, clock: Clock) -> None:
    job = replace(NIGHT, at_s=None)
    alarm = RpoAlarm(Backups(world.coordinator, {"night": job}))
    world.store.restore_points.record(replace(POINT, covers_until=clock.at))
    clock.at += 0.79 * job.rpo_target_s
    assert said(alarm) == (False, False)
    clock.at += 0.02 * job.rpo_target_s
    assert said(alarm) == (True, False)


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
