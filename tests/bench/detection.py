"""detection_p95_ratio: from a fault at a random moment to the opened incident.

What lives here: faults of real processes, killed (refused) and stopped (silent), under the real
watcher and its judging. What must not: what follows from an incident; opening one is here the
moment at which a standing has turned to down, taken by a thread as the coordinator's is.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import SystemRandom

from orchestrator.core.health import Health, Standing, Use, Watch, judge
from orchestrator.watcher import Watcher
from tasks.contract import Reading
from tasks.probes.http import http
from tests.bench.figures import Figure, percentile, spread
from tests.bench.product import BenchFault, wait_for
from tests.bench.watch import end, ports_of, start_servers

INTERVAL_S, TIMEOUT_S = 1.0, 0.6
LIMIT_S = 2 * INTERVAL_S + TIMEOUT_S
AT_ONCE, ROUNDS = 10, 8
FAULTS = {"killed": signal.SIGKILL, "stopped": signal.SIGSTOP}


def measure(rounds: int | None) -> list[Figure]:
    load = os.getloadavg()[0]
    found: dict[str, list[float]] = {name: [] for name in FAULTS}
    for _ in range(rounds or ROUNDS):
        for fault, seconds in _round():
            found[fault].append(seconds / LIMIT_S)
    ratios = [each for kind in found.values() for each in kind]
    each = ", ".join(
        f"{name} p50 {percentile(values, 50):.2f} p95 {percentile(values, 95):.2f} "
        f"latest {max(values):.2f}"
        for name, values in found.items()
    )
    said = (
        f"{len(ratios)} faults at random moments of server processes on loopback: {each}; every "
        f"{INTERVAL_S:g} s, timeout {TIMEOUT_S:g} s, 2 bad of 3; no lab and no store; load "
        f"average {load:.2f} before"
    )
    value = percentile(ratios, 95)
    return [Figure("detection_p95_ratio", value, len(ratios), spread(ratios), said)]


def _round() -> list[tuple[str, float]]:
    """One fault of each of some servers that were all healthy: which, and after how long."""
    kinds = [list(FAULTS)[number % len(FAULTS)] for number in range(AT_ONCE)]
    broken_at: dict[str, float] = {}
    with _servers() as (children, watches), _deciding(watches) as desk:
        wait_for("healthy servers", lambda: len(desk.healthy) == len(watches))
        now = time.monotonic()
        moments = sorted(
            (now + SystemRandom().uniform(0, 3 * INTERVAL_S), name) for name in children
        )
        for moment, name in moments:
            time.sleep(max(0.0, moment - time.monotonic()))
            if name in desk.opened_at:
                raise BenchFault(f"{name} was found down and was well")
            broken_at[name] = time.monotonic()
            children[name].send_signal(FAULTS[kinds[int(name)]])
        wait_for("all incidents", lambda: len(desk.opened_at) == len(watches))
    return [(kinds[int(name)], desk.opened_at[name] - broken) for name, broken in broken_at.items()]


@contextlib.contextmanager
def _servers() -> Iterator[tuple[dict[str, subprocess.Popen[str]], list[Watch]]]:
    children = {str(number): start_servers(1) for number in range(AT_ONCE)}
    try:
        yield children, [_watch(name, ports_of(child)[0]) for name, child in children.items()]
    finally:
        for child in children.values():
            end(child)


def _watch(name: str, port: int) -> Watch:
    arguments = {"url": f"http://127.0.0.1:{port}/health", "json": {"status": "healthy"}}
    return Watch(
        name,
        Use.ANSWERS,
        service=name,
        machine=name,
        probe="http",
        arguments=arguments,
        interval_s=INTERVAL_S,
        timeout_s=TIMEOUT_S,
    )


@dataclass
class Desk:
    """What was decided so far, and when on the monotonic clock."""

    healthy: set[str] = field(default_factory=set)
    opened_at: dict[str, float] = field(default_factory=dict)


@contextlib.contextmanager
def _deciding(watches: list[Watch]) -> Iterator[Desk]:
    desk, known = Desk(), {each.name: each for each in watches}
    readings: queue.SimpleQueue[tuple[str, Reading] | None] = queue.SimpleQueue()
    standings: dict[str, Standing] = {}

    def decide() -> None:
        while (got := readings.get()) is not None:
            name, reading = got
            standings[name] = now = judge(known[name], standings.get(name), reading)
            if now.health is Health.HEALTHY:
                desk.healthy.add(name)
            elif now.health is Health.DOWN:
                desk.opened_at.setdefault(name, time.monotonic())

    watcher = Watcher(lambda name, reading: readings.put((name, reading)), {"http": http})
    thread = threading.Thread(target=decide)
    thread.start()
    watcher.watch(watches)
    watcher.start()
    try:
        yield desk
    finally:
        watcher.stop()
        readings.put(None)
        thread.join()
