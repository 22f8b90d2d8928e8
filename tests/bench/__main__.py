"""`make bench`: python -m tests.bench [--only FIGURE] [--runs N].

What lives here: which benchmarks there are, and a lab for them that is gone afterwards, come
what may. What must not: measuring. The part that measures is this program again, inside the
lab's own network namespace, so that no packet can leave the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.lab import LabFault
from deploy.lab import lab as labs
from deploy.lab.lab import CHECKOUT, Lab
from deploy.lab.machines import AUTOBOT, MachineDefinition
from deploy.lab.processes import die_with_parent
from orchestrator.supervisor import end_leftovers
from tests.bench import (
    boot,
    capture,
    detection,
    footprint,
    hyperv_boot,
    ordered_restart,
    restore,
    six,
    trigger,
    watch,
)
from tests.bench.figures import GOALS, Figure, merged, table
from tests.bench.product import BenchFault, Product, running

Measure = Callable[[Product, int | None], list[Figure]]
Running = Callable[[Lab, Path, Path], AbstractContextManager[Product]]

#: Not below /run or /tmp, which may be memory: agents, broker and store write to a disk.
HOMES = Path("/var/tmp/autobot-dr-bench")  # noqa: S108 - root's own folder
LOGS = CHECKOUT / "build" / "bench-logs"
BUSY = 0.5


@dataclass(frozen=True, slots=True)
class Rig:
    """A lab, and the benchmarks that run in it, in this order."""

    machines: Sequence[MachineDefinition]
    running: Running
    benchmarks: Mapping[tuple[str, ...], Measure]


RIGS: Mapping[str, Rig] = {
    "six": Rig(
        six.MACHINES,
        six.running,
        {
            ("ordered_restart_ratio",): ordered_restart.measure,
            ("trigger_to_effect_p50_ms", "trigger_to_effect_p99_ms"): trigger.measure_trigger,
            ("step_overhead_ms",): trigger.measure_steps,
            # Last, because it leaves only one machine on.
            ("agent_pss_mb", "agent_idle_cpu_pct"): footprint.measure,
        },
    ),
    "autobot": Rig(AUTOBOT, running, {("boot_ratio",): boot.measure}),
    "hyperv": Rig(AUTOBOT, hyperv_boot.running, {("hyperv_boot_ratio",): hyperv_boot.measure}),
}

#: Those that need no lab.
ALONE: Mapping[tuple[str, ...], Callable[[int | None], list[Figure]]] = {
    ("watch_5000_p99_lateness_s", "watch_5000_cpu_pct", "watch_5000_rss_mb"): watch.measure,
    ("detection_p95_ratio",): detection.measure,
    ("rpo_loss_median_s", "rpo_loss_max_s"): capture.measure_rpo,
    ("capture_cost_pct", "capture_rss_mb"): capture.measure_cost,
    ("restore_ratio",): restore.measure,
}


def main() -> int:
    options = _options()
    if options.inside:
        return _inside(options)
    rigs = [
        name
        for name, rig in RIGS.items()
        if any(_wanted(options, names) for names in rig.benchmarks)
    ]
    if rigs and (reason := labs.why_not("nspawn")):
        print(f"make bench needs real machines: {reason}", file=sys.stderr)
        return 1
    load = os.getloadavg()[0]
    busy = "; whatever else runs is in the figures" if load > BUSY else ""
    print(f"bench: load average {load:.2f} before the start{busy}", flush=True)
    figures: list[Figure] = []
    try:
        for names, alone in ALONE.items():
            if _wanted(options, names):
                print(f"bench: {', '.join(names)}", flush=True)
                figures += alone(options.runs)
        for name in rigs:
            figures += _in_a_lab(name, RIGS[name])
    except (LabFault, BenchFault) as fault:
        print(f"bench: {fault}", file=sys.stderr)
        return 1
    print(f"\n{table(figures)}")
    _keep(figures)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", choices=list(GOALS), metavar="FIGURE", help=", ".join(GOALS))
    parser.add_argument("--runs", type=int, help="rounds of each benchmark instead of its own")
    parser.add_argument("--inside", metavar="RIG", help=argparse.SUPPRESS)
    return parser.parse_args()


def _wanted(options: argparse.Namespace, names: Sequence[str]) -> bool:
    return not options.only or options.only in names


def _keep(figures: Sequence[Figure]) -> None:
    file = CHECKOUT / "build" / "bench.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(merged(file.read_text() if file.exists() else "", figures))
    print(f"\nalso in {file.relative_to(CHECKOUT)}")


def _in_a_lab(name: str, rig: Rig) -> list[Figure]:
    home = HOMES / name
    print(f"bench: preparing the lab {name!r} with {len(rig.machines)} machines", flush=True)
    # What a run left that was killed; the lab's own leftovers are cleared by `prepare`.
    end_leftovers(home / "product" / "state" / "up.json")
    shutil.rmtree(home / "product", ignore_errors=True)
    lab = labs.prepare("nspawn", home, rig.machines)
    try:
        argv = [sys.executable, "-m", "tests.bench", *sys.argv[1:], "--inside", name]
        _run([*lab.prefix(), *argv])
        told = json.loads((home / "figures.json").read_text())
        return [Figure(**each) for each in told]
    finally:
        lab.down()
        shutil.rmtree(home)


def _run(argv: Sequence[str]) -> None:
    child = subprocess.Popen(argv, cwd=CHECKOUT, start_new_session=True, preexec_fn=die_with_parent)
    try:
        code = child.wait()
    except KeyboardInterrupt:
        child.terminate()
        child.wait()
        raise
    if code != 0:
        raise BenchFault(f"the part inside the lab ended with exit code {code}; logs: {LOGS}")


def _inside(options: argparse.Namespace) -> int:
    rig, home = RIGS[options.inside], HOMES / options.inside
    lab = labs.find(home)
    figures: list[Figure] = []
    try:
        with rig.running(lab, home / "product", LOGS / options.inside) as product:
            for names, measure in rig.benchmarks.items():
                if _wanted(options, names):
                    print(f"bench: {', '.join(names)}", flush=True)
                    figures += measure(product, options.runs)
    except (LabFault, BenchFault) as fault:
        print(f"bench: {fault}", file=sys.stderr)
        return 1
    (home / "figures.json").write_text(json.dumps([asdict(each) for each in figures]))
    return 0


if __name__ == "__main__":
    # SIGTERM ends as Ctrl-C does: everything that was started is taken down.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        raise SystemExit(130) from None
