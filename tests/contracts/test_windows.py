"""The contract of the `Windows` port, on the twin, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.core.policy import Window
from orchestrator.ports import Store


def window(name: str, ends_at: float, target: str = "redis") -> Window:
    return Window(name, target, 1000.0, ends_at, "me", "caf\u00e9 'quoted'; new disk")


def test_a_window_comes_back_as_it_went_in_and_once(store: Store) -> None:
    assert store.windows.add(window("a", 2000.0)) == window("a", 2000.0)
    other = replace(window("a", 9000.0), by="somebody else")
    assert store.windows.add(other) == window("a", 2000.0)
    assert list(store.windows.newest(10)) == [window("a", 2000.0)]


def test_current_ones_end_first_and_those_that_are_over_are_not_among_them(store: Store) -> None:
    for name, ends_at in (("late", 5000.0), ("over", 1500.0), ("soon", 2000.0)):
        store.windows.add(window(name, ends_at))
    assert [each.id for each in store.windows.current(1500.0)] == ["soon", "late"]
    assert list(store.windows.current(5000.0)) == []
    assert [each.id for each in store.windows.newest(2)] == ["late", "soon"]


def test_windows_of_one_target_may_overlap(store: Store) -> None:
    store.windows.add(window("one", 3000.0, target=""))
    store.windows.add(window("two", 2000.0, target=""))
    store.windows.stop("one", 1200.0)
    assert [each.id for each in store.windows.current(1300.0)] == ["two"]


def test_stop_ends_a_window_now_and_only_once(store: Store) -> None:
    store.windows.add(window("a", 2000.0))
    stopped = replace(window("a", 2000.0), ends_at=1100.0)
    assert store.windows.stop("a", 1100.0) == stopped
    assert store.windows.stop("a", 1200.0) == stopped, "it was over already"
    assert list(store.windows.current(1100.0)) == []
    assert store.windows.stop("nobody", 1200.0) is None
