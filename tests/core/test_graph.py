"""Waves by dependency, and the circles that make them impossible."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.graph import Graph, machine_graph, service_graph, waves
from tests.core.worlds import EVERYTHING, SMALL, fleet, service


def graph(**needs: str) -> Graph:
    return {name: frozenset(text.split()) for name, text in needs.items()}


def test_waves_go_side_by_side_where_nothing_waits() -> None:
    diamond = graph(top="left right", left="base", right="base", base="", alone="")
    assert waves(diamond) == (("base", "alone"), ("left", "right"), ("top",))


def test_within_a_wave_the_order_is_the_files_own() -> None:
    assert waves(graph(c="", a="", b="")) == (("c", "a", "b"),)
    assert waves({}) == ()


@pytest.mark.parametrize(
    ("circle", "said"),
    [
        (graph(a="a"), "a → a"),
        (graph(a="b", b="a"), "a → b → a"),
        (graph(base="", a="b base", b="c", c="a"), "a → b → c → a"),
    ],
)
def test_a_circle_is_named(circle: Graph, said: str) -> None:
    with pytest.raises(ValueError, match="→") as error:
        waves(circle)
    around = str(error.value).split(" → ")
    assert around[0] == around[-1]
    assert all(need in circle[name] for name, need in pairwise(around))
    assert sorted(around[:-1]) == sorted(said.split(" → ")[:-1])


@given(st.lists(st.sets(st.integers(0, 11)), max_size=12))
def test_whatever_the_graph_nothing_starts_before_its_needs(rows: list[set[int]]) -> None:
    names = range(len(rows))
    # Only earlier names are needed, so there is no circle.
    needs = {str(n): frozenset(str(m) for m in rows[n] if m < n) for n in names}
    order = waves(needs)
    place = {name: number for number, wave in enumerate(order) for name in wave}
    assert sorted(place) == sorted(needs)
    for name, before in needs.items():
        # In the wave right after the last of its needs, and never later than that.
        assert place[name] == max((place[each] + 1 for each in before), default=0)


def test_the_services_graph_knows_only_those_asked_for() -> None:
    assert service_graph(SMALL, ["web", "db"]) == {"web": frozenset(), "db": frozenset()}
    assert service_graph(SMALL, ["api", "cache"])["api"] == frozenset({"cache"})


def test_a_machine_waits_for_the_machines_of_what_its_services_need() -> None:
    assert waves(machine_graph(SMALL, EVERYTHING)) == (("m1",), ("m2", "m3"), ("m4",), ("m5",))
    shared = fleet(service("db", "m1"), service("api", "m1", "db"), service("web", "m2", "api"))
    assert machine_graph(shared, ["web", "api", "db"]) == {"m2": {"m1"}, "m1": frozenset()}
