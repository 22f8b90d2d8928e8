"""watch_5000_*: 5,000 HTTP checks every 30 s by a watcher that is alone on one core.

What lives here: its servers and its windows, and how the figures grow with the number of checks.
What must not: a lab; loopback is enough where nothing is broken.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from deploy.lab.lab import CHECKOUT
from deploy.lab.processes import die_with_parent
from tests.bench.figures import Figure, of_runs
from tests.bench.product import BenchFault
from tests.bench.watch_alone import INTERVAL_S, Window

COUNT, SMALLER = 5000, (500, 1000, 2000)
PORTS = 50
WINDOWS, WINDOW_SECONDS = 3, 60.0
#: Every check once: names and code are loaded, and memory has grown to what it will be.
WARM_UP_SECONDS = INTERVAL_S + 5


def measure(windows: int | None) -> list[Figure]:
    load = os.getloadavg()[0]
    cores = sorted(os.sched_getaffinity(0))
    with servers(PORTS, cores[-1]) as ports:
        grown = {count: _watching(count, ports, cores[0], [INTERVAL_S])[0] for count in SMALLER}
        seconds = [WINDOW_SECONDS] * (windows or WINDOWS)
        found = _watching(COUNT, ports, cores[0], seconds)
    grown[COUNT] = found[-1]
    growth = "; ".join(
        f"{count:,}: p99 {each.p99 * 1e3:.1f} ms, {each.cpu_pct:.1f} %, {each.rss_mb:.1f} MB"
        for count, each in grown.items()
    )
    print(f"bench: growth: {growth}", flush=True)
    said = (
        f"{COUNT:,} health pages at {PORTS} ports of one process on core {cores[-1]}, a fresh "
        f"connection each; the watcher with its judging alone on core {cores[0]}; windows of "
        f"{WINDOW_SECONDS:.0f} s after {WARM_UP_SECONDS:.0f} s; load average {load:.2f} before"
    )
    late = (
        f"from due to started; p50 {max(each.p50 for each in found) * 1e3:.1f} ms, "
        f"latest {max(each.max for each in found) * 1e3:.1f} ms, "
        f"{sum(each.started for each in found):,} started, none skipped, none ill; {said}; "
        f"growth: {growth}"
    )
    return [
        of_runs("watch_5000_p99_lateness_s", [each.p99 for each in found], late),
        of_runs("watch_5000_cpu_pct", [each.cpu_pct for each in found], f"of one core; {said}"),
        of_runs("watch_5000_rss_mb", [each.rss_mb for each in found], said),
    ]


@contextmanager
def servers(count: int, core: int) -> Iterator[list[int]]:
    """So many ports of one process that answer well, until the block ends."""
    child = start_servers(count)
    try:
        os.sched_setaffinity(child.pid, {core})
        yield ports_of(child)
    finally:
        end(child)


def start_servers(count: int) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "tests.bench.watch_servers", str(count)]
    return subprocess.Popen(
        argv, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent
    )


def ports_of(child: subprocess.Popen[str]) -> list[int]:
    line = child.stdout.readline() if child.stdout else ""
    if not line:
        raise BenchFault("the servers that are to be watched did not start")
    ports: list[int] = json.loads(line)
    return ports


def end(child: subprocess.Popen[str]) -> None:
    """One that was stopped by a signal ends too."""
    child.kill()
    child.wait()
    if child.stdout:
        child.stdout.close()


def _watching(
    count: int, ports: Sequence[int], core: int, windows: Sequence[float]
) -> list[Window]:
    told = {"count": count, "ports": ports, "core": core}
    asked = json.dumps({**told, "warm_up": WARM_UP_SECONDS, "windows": windows})
    argv = [sys.executable, "-m", "tests.bench.watch_alone", asked]
    ran = subprocess.run(
        argv,
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
        timeout=WARM_UP_SECONDS + sum(windows) + 60,
        preexec_fn=die_with_parent,
        check=False,
    )
    found = [Window(**json.loads(line)) for line in ran.stdout.splitlines()]
    if len(found) != len(windows):
        raise BenchFault(f"the watcher of {count} checks ended with exit code {ran.returncode}")
    for each in found:
        wanted = count * each.seconds / INTERVAL_S
        # What was answered late in one window counts in the next.
        if each.bad or each.skipped or not 0.95 < each.good / wanted < 1.05:
            raise BenchFault(
                f"of {count} checks {each.good} were answered well in {each.seconds:.0f} s, not "
                f"{wanted:.0f}; {each.bad} were not, {each.skipped} were skipped"
            )
    return found
