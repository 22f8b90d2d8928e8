"""The table and build/bench.json. The figures themselves are measured by `make bench`."""

from __future__ import annotations

import json

import pytest

from tests.bench.figures import (
    GOALS,
    TIMES,
    Figure,
    merged,
    of_runs,
    percentile,
    spread,
    table,
    to_json,
)
from tests.bench.hyperv_boot import demand_order, order
from tests.bench.product import BenchFault

RATIO = Figure(
    "ordered_restart_ratio", 1.1234567, 7, 0.05, "two cores", peers={"ssh": 3.1, "ansible": 5.6}
)


def test_the_file_has_the_agreed_shape() -> None:
    assert to_json([RATIO]) == {
        "ordered_restart_ratio": {
            "value": 1.1235,
            "unit": f"{TIMES} limit",
            "goal": 1.15,
            "better": "lower",
            "runs": 7,
            "spread": 0.05,
            "peers": {"ssh": 3.1, "ansible": 5.6},
            "conditions": "two cores",
        }
    }


def test_measuring_one_figure_again_keeps_the_others() -> None:
    before = merged("", [of_runs("agent_pss_mb", [60.0], "")])
    after = json.loads(merged(before, [RATIO]))
    assert set(after) == {"agent_pss_mb", "ordered_restart_ratio"}


def test_the_table_says_whether_the_goal_is_met_and_shows_peers_below() -> None:
    missed = of_runs("boot_ratio", [1.4, 1.3, 1.5], "six machines off")
    head, ours, ssh, ansible, boot, blank, *said = table([RATIO, missed]).splitlines()
    assert head.split() == ["figure", "value", "unit", "goal", "spread", "runs"]
    assert ours.split()[1:] == ["1.123", TIMES, "limit", "≤", "1.15", "met", "0.050", "7"]
    assert ssh.split() == ["ssh", "3.100", TIMES, "limit"]
    assert ansible.startswith("  ansible")
    assert "NOT MET" in boot
    assert not blank
    assert said == ["ordered_restart_ratio: two cores", "boot_ratio: six machines off"]


@pytest.mark.parametrize(("percent", "wanted"), [(50, 100), (99, 198), (100, 200), (1, 2)])
def test_a_percentile_is_a_value_that_was_measured(percent: int, wanted: int) -> None:
    assert percentile(list(range(1, 201)), percent) == wanted


def test_the_spread_is_that_of_the_middle_half() -> None:
    assert spread([1.0, 2.0, 3.0, 4.0, 100.0]) == 2.0
    assert spread([5.0]) == 0.0


def test_a_figure_on_its_goal_has_met_it() -> None:
    assert all(goal.met(goal.value) for goal in GOALS.values())


GRAPH = {"redis": frozenset[str](), "ai": frozenset({"redis"}), "web": frozenset({"redis", "ai"})}


def test_an_order_of_starts_against_the_needs_is_no_figure() -> None:
    starts = [(1.0, "redis"), (2.0, "ai"), (3.5, "web")]
    demand_order(starts, GRAPH)
    assert order(starts, GRAPH).endswith(": redis 0.00; ai 1.00; web 2.50")
    for wrong in ([(1.0, "ai"), *starts[1:]], [(2.5, "redis"), *starts[1:]], starts[:2]):
        with pytest.raises(BenchFault, match="Hyper-V host"):
            demand_order(wrong, GRAPH)
