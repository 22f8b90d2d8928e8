"""Order by dependency: waves in which everything may run side by side, and cycles by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

from orchestrator.core.fleet import Fleet

Graph = Mapping[str, frozenset[str]]  #: each name with what must come before it


def waves(graph: Graph) -> tuple[tuple[str, ...], ...]:
    """The names in waves; within a wave in the graph's own order. ValueError names a cycle."""
    sorter = TopologicalSorter(graph)
    try:
        sorter.prepare()
    except CycleError as error:
        raise ValueError(" → ".join(reversed(error.args[1]))) from error
    order = list(graph)
    found = []
    while sorter.is_active():
        ready = sorter.get_ready()
        found.append(tuple(sorted(ready, key=order.index)))
        sorter.done(*ready)
    return tuple(found)


def most_awaited_first(names: Iterable[str], graph: Graph) -> tuple[str, ...]:
    """The same names: first what the longest chain waits for, then in their own order.

    What starts side by side still starts one after the other, and shares what it starts on.
    """
    waiting = {name: [other for other, before in graph.items() if name in before] for name in graph}

    def chain(name: str) -> int:
        return 1 + max(map(chain, waiting[name]), default=0)

    return tuple(sorted(names, key=chain, reverse=True))


def put_last(graph: Graph, name: str) -> Graph:
    """The same, with one that also comes after all that do not wait for it."""
    waiting = {name}
    while more := {each for each, before in graph.items() if before & waiting} - waiting:
        waiting |= more
    return {**graph, name: graph[name] | (frozenset(graph) - waiting)}


def service_graph(fleet: Fleet, names: Iterable[str]) -> Graph:
    """The named services and, of what each needs, those that are among them."""
    wanted = dict.fromkeys(names)
    return {
        name: frozenset(need for need in fleet.services[name].depends_on if need in wanted)
        for name in wanted
    }


def machine_graph(fleet: Fleet, services: Iterable[str]) -> Graph:
    """The machines of these services: one waits for another if a service of it does."""
    graph: dict[str, set[str]] = {}
    for name, needs in service_graph(fleet, services).items():
        machine = fleet.services[name].machine
        before = {fleet.services[need].machine for need in needs}
        graph.setdefault(machine, set()).update(before - {machine})
    return {machine: frozenset(before) for machine, before in graph.items()}
