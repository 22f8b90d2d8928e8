"""agent_pss_mb and agent_idle_cpu_pct: what an agent costs while nothing happens.

What lives here: reading /proc from outside the machine. What must not: starting anything.
"""

from __future__ import annotations

import time
from pathlib import Path

from deploy.lab.nspawn import NspawnMachine
from tests.bench.figures import Figure, of_runs
from tests.bench.product import BenchFault, Product
from tests.bench.six import NAMES

WINDOWS, WINDOW_SECONDS, SETTLE_SECONDS = 3, 60.0, 10.0
MACHINE, OTHERS = NAMES[0], NAMES[1:]


def measure(product: Product, windows: int | None) -> list[Figure]:
    # Agents of several machines on one kernel would share pages that a real machine's cannot.
    product.lab.power_all("kill", OTHERS)
    product.restart_agent(MACHINE)
    for _ in range(20):
        product.recover("one-step")
    time.sleep(SETTLE_SECONDS)
    sizes, loads = [], []
    tree = _agent(product)
    for _ in range(windows or WINDOWS):
        before, began = _cpu_seconds(tree), time.monotonic()
        time.sleep(WINDOW_SECONDS)
        used = _cpu_seconds(tree) - before
        loads.append(used / (time.monotonic() - began) * 100)
        sizes.append(sum(_pss_mb(pid) for pid in tree))
    if _agent(product) != tree:
        raise BenchFault("the agent's processes were not the same throughout")
    each = " + ".join(f"{_pss_mb(pid):.1f}" for pid in tree)
    said = f"the only machine that is on, after 20 runs and {SETTLE_SECONDS:.0f} s of rest"
    return [
        of_runs("agent_pss_mb", sizes, f"{said}; PSS of its {len(tree)} processes: {each} MB"),
        of_runs(
            "agent_idle_cpu_pct",
            loads,
            f"{said}; of one core, over {WINDOW_SECONDS:.0f} s, by the scheduler's clock",
        ),
    ]


def _agent(product: Product) -> list[int]:
    """The agent's processes, as the host numbers them, the first one first."""
    leader = NspawnMachine(product.lab.home, MACHINE).leader()
    for child in children(leader):
        if b"workers.agent" in Path(f"/proc/{child}/cmdline").read_bytes():
            return _tree(child)
    raise BenchFault(f"{MACHINE}: its agent does not run")


def _tree(pid: int) -> list[int]:
    return [pid, *(each for child in children(pid) for each in _tree(child))]


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sorted(int(each) for task in tasks for each in (task / "children").read_text().split())


def _pss_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    kibibytes = next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kibibytes * 1024 / 1e6


def _cpu_seconds(tree: list[int]) -> float:
    """Of all threads; /proc/PID/stat counts in hundredths, which is too coarse for a rest."""
    threads = (task for pid in tree for task in Path(f"/proc/{pid}/task").iterdir())
    return sum(int((task / "schedstat").read_text().split()[0]) for task in threads) / 1e9
