"""The watcher alone in a process, as `watch` measures it: `watch_alone '{"count": …}'`.

What lives here: watching so many pages and printing one line of figures a window. What must not:
starting the servers, which would be in the figures.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from orchestrator.core.health import Standing, Use, Watch, judge
from orchestrator.schedule import Histogram
from orchestrator.watcher import Watcher
from tasks.contract import Kind, Reading
from tasks.probes.http import http

INTERVAL_S, TIMEOUT_S = 30.0, 3.0


@dataclass(frozen=True, slots=True)
class Window:
    """What was measured in one window."""

    seconds: float
    p50: float
    p99: float
    max: float
    started: int
    skipped: int
    good: int
    bad: int
    cpu_pct: float
    rss_mb: float


class Measured(Watcher):
    def forget(self) -> None:
        """What was late before a window does not belong to it."""
        self._late = Histogram()


def main(count: int, ports: list[int], core: int, warm_up: float, windows: list[float]) -> None:
    os.sched_setaffinity(0, {core})
    watches = {each.name: each for each in (_watch(n, ports) for n in range(count))}
    standings: dict[str, Standing] = {}
    kinds: Counter[Kind] = Counter()

    def take(name: str, reading: Reading) -> None:
        kinds[reading.kind] += 1
        standings[name] = judge(watches[name], standings.get(name), reading)

    watcher = Measured(take, {"http": http})
    watcher.start()
    watcher.watch(list(watches.values()))
    time.sleep(warm_up)
    for seconds in windows:
        watcher.forget()
        kinds.clear()
        cpu, began = time.process_time(), time.monotonic()
        time.sleep(seconds)
        late, took = watcher.lateness(), time.monotonic() - began
        used = (time.process_time() - cpu) / took * 100
        good, asked = kinds[Kind.GOOD], kinds.total()
        print(
            json.dumps(
                asdict(
                    Window(
                        took,
                        late.p50,
                        late.p99,
                        late.max,
                        late.count - late.skipped,
                        late.skipped,
                        good,
                        asked - good,
                        used,
                        _rss_mb(),
                    )
                )
            ),
            flush=True,
        )
    watcher.stop()


def _watch(number: int, ports: list[int]) -> Watch:
    url = f"http://127.0.0.1:{ports[number % len(ports)]}/services/{number}/health"
    arguments = {"url": url, "json": {"status": "healthy"}}
    return Watch(
        f"service{number}/answers",
        Use.ANSWERS,
        f"service{number}",
        f"machine{number % 100}",
        "http",
        arguments,
        interval_s=INTERVAL_S,
        timeout_s=TIMEOUT_S,
    )


def _rss_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(each.split()[1]) for each in lines if each.startswith("VmRSS:")) * 1024 / 1e6


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
