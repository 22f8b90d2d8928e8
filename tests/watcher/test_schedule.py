"""Due times and lateness are arithmetic: a number is the clock."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.health import Use, Watch
from orchestrator.schedule import Histogram, Schedule


def watch(name: str, interval_s: float = 10.0) -> Watch:
    return Watch(name, Use.ANSWERS, name, "m", "tcp", {}, interval_s=interval_s)


def test_first_times_are_spread_over_the_interval() -> None:
    schedule = Schedule()
    schedule.replace([watch(str(number), 30.0) for number in range(5000)], 100.0)
    for second in range(30):
        due = schedule.take(100.0 + second + 0.999)
        assert 166 <= len(due) <= 168
    assert len(schedule.take(130.0)) == 1


def test_each_interval_is_spread_by_itself() -> None:
    schedule = Schedule()
    mixed = [watch(f"{interval}/{number}", interval) for number in range(4) for interval in (4, 40)]
    schedule.replace(mixed, 0.0)
    first: dict[str, float] = {}
    for now in range(40):
        for due in schedule.take(float(now)):
            first.setdefault(due.watch.name, due.at)
    assert [first[f"4/{n}"] for n in range(4)] == [0, 1, 2, 3]
    assert [first[f"40/{n}"] for n in range(4)] == [0, 10, 20, 30]


def test_due_at_due_plus_interval_however_late_it_was_taken() -> None:
    schedule = Schedule()
    schedule.replace([watch("a")], 0.0)
    assert [(each.at, each.missed) for each in schedule.take(3.0)] == [(0.0, 0)]
    assert schedule.next_at() == 10.0
    assert schedule.take(9.999) == []
    assert [(each.at, each.missed) for each in schedule.take(19.0)] == [(10.0, 0)]
    assert schedule.next_at() == 20.0


def test_what_was_missed_is_counted_and_not_made_up_for() -> None:
    schedule = Schedule()
    schedule.replace([watch("a")], 0.0)
    assert [(each.at, each.missed) for each in schedule.take(35.0)] == [(0.0, 3)]
    assert schedule.next_at() == 40.0


def test_a_replaced_set_keeps_the_times_of_those_who_stay() -> None:
    schedule = Schedule()
    schedule.replace([watch("a"), watch("b"), watch("c")], 0.0)
    schedule.take(4.0)
    schedule.replace([watch("b"), watch("new"), watch("c", 5.0)], 5.0)
    times = {each.watch.name: each.at for each in schedule.take(100.0)}
    assert times == {"b": pytest.approx(10 + 10 / 3), "new": 5.0, "c": 5.0}


def test_nobody_is_due_in_an_empty_set() -> None:
    schedule = Schedule()
    assert (schedule.next_at(), schedule.take(5.0)) == (None, [])
    schedule.replace([watch("a")], 0.0)
    schedule.replace([], 1.0)
    assert (schedule.next_at(), schedule.take(5.0)) == (None, [])


@given(
    st.lists(st.sampled_from([0.5, 1.0, 7.0, 30.0]), min_size=1, max_size=20),
    st.lists(st.floats(0.0, 40.0), max_size=30),
)
def test_every_time_is_taken_or_missed_once(intervals: list[float], pauses: list[float]) -> None:
    schedule = Schedule()
    schedule.replace([watch(str(n), each) for n, each in enumerate(intervals)], 0.0)
    first: dict[str, float] = {}
    counted: Counter[str] = Counter()
    now = 0.0
    for pause in pauses:
        now += pause
        for due in schedule.take(now):
            assert due.at <= now
            first.setdefault(due.watch.name, due.at)
            counted[due.watch.name] += 1 + due.missed
            wanted = first[due.watch.name] + counted[due.watch.name] * due.watch.interval_s
            assert now < wanted + 1e-6
            assert wanted - due.watch.interval_s <= now + 1e-6


def test_percentiles_are_at_most_an_eighth_too_high() -> None:
    late = Histogram()
    for number in range(1, 1001):
        late.add(number / 1000, 0.0)
    told = late.so_far()
    assert 0.5 <= told.p50 <= 0.5 * 1.125
    assert 0.99 <= told.p99 <= 1.0
    assert (told.max, told.count, told.skipped) == (1.0, 1000, 0)


def test_lateness_without_starts_and_beyond_all_bins() -> None:
    late = Histogram()
    assert (late.so_far().p99, late.so_far().count) == (0.0, 0)
    late.add(-0.001, 0.0)
    late.add(1e9, 0.0, skipped=3)
    told = late.so_far()
    assert (told.p99, told.max, told.count, told.skipped) == (1e9, 1e9, 4, 3)


def test_lateness_is_of_the_last_two_windows() -> None:
    late = Histogram(window_s=60.0)
    late.add(5.0, 0.0)
    late.add(0.001, 61.0)
    assert late.so_far().max == 5.0
    late.add(0.001, 122.0)
    assert late.so_far().max == 0.001
    late.add(9.0, 123.0)
    late.add(0.001, 500.0)
    assert (late.so_far().max, late.so_far().count) == (0.001, 1)
