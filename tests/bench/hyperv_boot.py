"""hyperv_boot_ratio: boot_ratio with the machines powered through PowerShell remoting.

What lives here: the Hyper-V host beside the product, over the lab's own machines, and the order of
its starts from its own log. What must not: measuring (boot.py). The host runs in the benchmark's
process and shares the machine's cores with everything that boots, which a real one does not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from deploy.lab.lab import Lab
from orchestrator.core.graph import machine_graph, waves
from tests.bench import boot, product
from tests.bench.figures import Figure
from tests.bench.product import BenchFault, Product, fleet_of
from tests.hyperv.on_lab import hyperv_over
from tests.hyperv.server import HyperV

#: The host of each product that runs, by its home.
_HOSTS: dict[Path, HyperV] = {}


@contextmanager
def running(lab: Lab, home: Path, logs: Path) -> Iterator[Product]:
    with (
        hyperv_over(lab, home.parent / "hyperv") as (host, fleet),
        product.running(lab, home, logs, fleet) as made,
    ):
        _HOSTS[home] = host
        yield made


def measure(product: Product, rounds: int | None) -> list[Figure]:
    what = "AutoBot's six nspawn machines behind a Hyper-V host on psrpcore, power lost"
    figures = boot.ratios("hyperv_boot_ratio", product, rounds, what)
    fleet = fleet_of(product)
    graph = machine_graph(fleet, fleet.services)
    names = {definition.vm: name for name, definition in product.lab.machines.items()}
    log = _HOSTS[product.home].wsman.asked
    starts = [(at, names[given["Name"]]) for at, cmdlet, given in log if cmdlet == "Start-VM"]
    for first in range(0, len(starts), len(names)):
        demand_order(starts[first : first + len(names)], graph)
    told = order(starts[-len(names) :], graph)
    return [replace(each, conditions=f"{each.conditions}; {told}") for each in figures]


def demand_order(starts: Sequence[tuple[float, str]], graph: Mapping[str, Collection[str]]) -> None:
    """Each machine once, and none before one that it needs."""
    at = {name: when for when, name in starts}
    if len(at) != len(graph) or len(starts) != len(graph):
        raise BenchFault(f"the Hyper-V host was not told to start each machine once: {starts}")
    for name, needs in graph.items():
        early = [need for need in needs if at[need] >= at[name]]
        if early:
            raise BenchFault(f"the Hyper-V host started {name} before {', '.join(early)}")


def order(starts: Sequence[tuple[float, str]], graph: Mapping[str, frozenset[str]]) -> str:
    """The starts of one recovery by wave, each with its seconds from the first."""
    at = {name: when for when, name in starts}
    begun = min(at.values())
    said = (
        ", ".join(f"{name} {at[name] - begun:.2f}" for name in sorted(wave, key=at.__getitem__))
        for wave in waves(graph)
    )
    return f"the host's log of the last run, seconds from its first start: {'; '.join(said)}"
