"""boot_ratio: from a complete failure to verified, against the machines' own times.

What lives here: powering everything off and recovering it by the API. What must not: the
critical path itself (deploy/lab/measure.py), which `make demo` is judged by too.
"""

from __future__ import annotations

from statistics import median

from deploy.lab import measure as clocks
from deploy.lab.machines import AGENT
from orchestrator.core.graph import machine_graph
from tests.bench.figures import Figure, of_runs
from tests.bench.product import Product, fleet_of, moment

ROUNDS = 7


def measure(product: Product, rounds: int | None) -> list[Figure]:
    return ratios("boot_ratio", product, rounds, "AutoBot's six nspawn machines, power lost")


def ratios(name: str, product: Product, rounds: int | None, what: str) -> list[Figure]:
    fleet = fleet_of(product)
    graph = machine_graph(fleet, fleet.services)
    found, times, paths, agents = [], [], [], []
    for number in range(-1, rounds or ROUNDS):
        product.lab.power_all("kill")
        asked_at, run = product.recover("full-system", quiet=2.0)
        booted = product.lab.boot_times()
        path = clocks.critical_path(booted, graph)
        if number >= 0:
            times.append(moment(run["ended_at"]) - asked_at)
            paths.append(path.seconds)
            agents.append(sum(e.units[AGENT] for e in booted if e.machine in path.machines))
            found.append(times[-1] / path.seconds)
    said = (
        f"{what}; full-system from the POST until the "
        f"coordinator recorded it as resolved, median {median(times):.2f} s; the longest path "
        f"({' → '.join(path.machines)}) of boots and starts of the same runs, "
        f"median {median(paths):.2f} s, of which {median(agents):.2f} s are our agents' own start, "
        "which the machines' boot waits for"
    )
    return [of_runs(name, found, said)]
