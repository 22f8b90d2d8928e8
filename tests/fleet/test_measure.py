"""The critical path of boots and starts, against which a recovery is measured."""

from __future__ import annotations

from deploy.lab.machines import AGENT
from deploy.lab.measure import BootTime, critical_path

TIMES = [
    BootTime("store", 1.0, {"database": 0.5, AGENT: 9.0}),
    BootTime("fast", 1.0, {"web": 0.1}),
    BootTime("slow", 2.0, {"api": 3.0, "jobs": 1.0}),
    BootTime("alone", 4.0, {}),
]


def test_the_longest_way_through_what_must_come_before_what() -> None:
    needs = {"store": [], "fast": ["store", "slow"], "slow": ["store"], "alone": []}
    path = critical_path(TIMES, needs)
    assert path.machines == ("store", "slow", "fast")
    assert path.seconds == (1.0 + 0.5) + (2.0 + 3.0 + 1.0) + (1.0 + 0.1)


def test_without_needs_it_is_the_slowest_machine() -> None:
    path = critical_path(TIMES, {each.machine: [] for each in TIMES})
    assert (path.machines, path.seconds) == (("slow",), 6.0)
