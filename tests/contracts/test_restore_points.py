"""The contract of the `RestorePoints` port, on the twin, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import itertools
from dataclasses import replace

from orchestrator.core.restorepoints import PointState, RestorePoint
from orchestrator.ports import Store

POINT = RestorePoint(
    id="redis-1",
    job="night",
    service="redis",
    machine="db",
    vault="control",
    folder="/b/caf\u00e9 'x'/redis-1",
    taken_at=1000.0,
    covers_until=1000.0,
    verified_at=1002.0,
    state=PointState.VERIFIED,
    reason="",
    size_bytes=5_000_000_000,
    sha256="ab" * 32,
    reported_at=1003.0,
)
FAILED = replace(POINT, state=PointState.FAILED, reason="a flipped byte", reported_at=2000.0)


def test_a_point_comes_back_as_it_went_in_and_once(store: Store) -> None:
    for _ in range(2):
        store.restore_points.record(POINT)
    assert store.restore_points.get("redis-1") == POINT
    assert list(store.restore_points.newest(limit=10)) == [POINT]
    assert store.restore_points.get("none") is None


def test_what_was_reported_last_counts_in_whichever_order_it_comes(store: Store) -> None:
    later = replace(FAILED, id="redis-2")
    for told in itertools.permutations([POINT, FAILED]):
        for each in told:
            store.restore_points.record(replace(each, id="redis-2"))
        assert store.restore_points.get("redis-2") == later


def test_the_job_stays_the_one_that_took_it(store: Store) -> None:
    store.restore_points.record(POINT)
    store.restore_points.record(replace(FAILED, job="somebody-else"))
    assert store.restore_points.get("redis-1") == FAILED


def test_the_newest_verified_is_by_what_it_covers(store: Store) -> None:
    old_proved_again = replace(POINT, verified_at=9000.0, reported_at=9000.0)
    newer = replace(POINT, id="redis-2", taken_at=1500.0, covers_until=1500.0)
    bad = replace(FAILED, id="redis-3", taken_at=3000.0, covers_until=3000.0)
    other = replace(POINT, id="redis-4", service="cache", job="cache", covers_until=4000.0)
    assert store.restore_points.newest_verified("redis") is None
    for each in (old_proved_again, newer, bad, other):
        store.restore_points.record(each)
    assert store.restore_points.newest_verified("redis") == newer
    assert store.restore_points.newest_verified("redis", job="cache") is None
    assert store.restore_points.newest_verified("cache", job="cache") == other


def test_the_newest_taken_come_first_and_may_be_of_one_job(store: Store) -> None:
    for number in range(4):
        job = "night" if number % 2 else "hour"
        at = 1000.0 + number
        store.restore_points.record(replace(POINT, id=f"p{number}", job=job, taken_at=at))
    assert [each.id for each in store.restore_points.newest(limit=3)] == ["p3", "p2", "p1"]
    assert [each.id for each in store.restore_points.newest(limit=3, job="night")] == ["p3", "p1"]


def test_what_is_gone_is_forgotten(store: Store) -> None:
    store.restore_points.record(POINT)
    store.restore_points.record(replace(POINT, id="redis-2"))
    store.restore_points.forget(())
    for _ in range(2):
        store.restore_points.forget(("redis-1", "never-known"))
    assert [each.id for each in store.restore_points.newest(limit=10)] == ["redis-2"]
