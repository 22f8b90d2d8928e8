"""trigger_to_effect_*_ms and step_overhead_ms: what this project adds around the commands.

What lives here: timing runs by the clocks of the machines, which share the kernel's. What must
not: anything about Redis. For the trigger every systemctl that the agent calls is a wrapper
that notes its own start, so the moment is the command's and not one that the agent reports.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.figures import Figure, of_runs, percentile
from tests.bench.product import Product, moment
from tests.bench.six import LONG_CHAIN, NAMES, SHORT_CHAIN, STAMP

BATCHES, RUNS, WARMING = 3, 200, 5
CHAINS = 7
MACHINE = NAMES[0]
WRAPPER = """\
#!/bin/bash
echo "$EPOCHREALTIME" >>{noted}
exec /usr/bin/systemctl "$@"
"""


def measure_trigger(product: Product, batches: int | None) -> list[Figure]:
    to_command: list[list[float]] = []
    to_process: list[list[float]] = []
    with _commands_noted(product) as noted:
        for number in range(-1, batches or BATCHES):
            firsts, starts = [], []
            for _ in range(RUNS if number >= 0 else WARMING):
                # People do not ask in step with the coordinator's ticks.
                time.sleep(random.uniform(0, 0.05))  # noqa: S311 - no secret
                noted.write_text("")
                asked_at, _run = product.recover("one-step", quiet=0.2)
                firsts.append((float(noted.read_text().split()[0]) - asked_at) * 1e3)
                starts.append((process_started(product) - asked_at) * 1e3)
            if number >= 0:
                to_command.append(firsts)
                to_process.append(starts)
    said = (
        f"{len(to_command)} times {RUNS} runs one after another, each by a POST on a new "
        "connection; to the start of the first command on the machine, by its own clock; to the "
        "start of the unit's new process, as its systemd has recorded it: "
        f"p50 {_over(to_process, 50):.1f} ms, p99 {_over(to_process, 99):.1f} ms"
    )
    return [
        of_runs(f"trigger_to_effect_p{p}_ms", [percentile(each, p) for each in to_command], said)
        for p in (50, 99)
    ]


def _over(batches: list[list[float]], percent: int) -> float:
    return median(percentile(each, percent) for each in batches)


@contextmanager
def _commands_noted(product: Product) -> Iterator[Path]:
    """Put the wrapper first on the agent's PATH; gives the file with the noted starts."""
    lab = product.lab
    noted, folder = lab.kept(MACHINE) / "noted", lab.kept(MACHINE) / "bin"
    folder.mkdir(exist_ok=True)
    (folder / "systemctl").write_text(WRAPPER.format(noted=lab.path_inside(MACHINE, "noted")))
    (folder / "systemctl").chmod(0o755)
    noted.touch()
    configured = lab.kept(MACHINE) / "agent.env"
    before = configured.read_text()
    configured.write_text(f"{before}PATH={lab.path_inside(MACHINE, 'bin')}:/usr/bin:/bin\n")
    product.restart_agent(MACHINE)
    try:
        yield noted
    finally:
        configured.write_text(before)
        product.restart_agent(MACHINE)


def process_started(product: Product) -> float:
    """When systemd last started the unit's process, in Unix seconds."""
    show = ["systemctl", "show", "--property=ExecMainStartTimestampMonotonic", "--value", STAMP]
    monotonic = int(product.lab.inside(MACHINE, show).out) / 1e6
    return time.time() - time.monotonic() + monotonic


def measure_steps(product: Product, chains: int | None) -> list[Figure]:
    gaps: dict[str, list[float]] = {"short-chain": [], "long-chain": []}
    for number in range(-1, chains or CHAINS):
        for scenario, measured in gaps.items():
            _, run = product.recover(scenario, quiet=1.0)
            if number >= 0:
                measured.append(_gap_ms(run["steps"]))
    said = (
        f"chains of {LONG_CHAIN} service.status, alternating over two machines; from the first "
        "step's start to the last one's end, less the steps' own durations, for each transition; "
        f"chains of {SHORT_CHAIN}: {median(gaps['short-chain']):.1f} ms, for a link carries the "
        "rest of its chain"
    )
    return [of_runs("step_overhead_ms", gaps["long-chain"], said)]


def _gap_ms(steps: list[dict[str, Any]]) -> float:
    times = [(moment(each["started_at"]), moment(each["ended_at"])) for each in steps]
    own = sum(ended - started for started, ended in times)
    whole = max(ended for _, ended in times) - min(started for started, _ in times)
    return (whole - own) / (len(steps) - 1) * 1e3
