"""rpo_loss_…_s and capture_…: what is lost with Redis's machine, and what the capture costs.

What lives here: a real server under a steady load, its sudden end with its disk, and loading what
was captured in a plain server. What must not: the capture itself, which runs as its users run it.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from tasks.backup.link import Link, LinkFault
from tests.backup.rig import Redis, capture, loaded, redis
from tests.bench.figures import Figure, of_runs, spread
from tests.bench.product import BenchFault
from tests.integration.rig import wait_for

ROUNDS, WRITES_A_SECOND = 20, 1000
COST_RUNS, COST_SECONDS, COST_WRITES_A_SECOND = 5, 10.0, 10_000
#: A dump big enough that keeping it in memory would show.
KEYS, KEY_BYTES = 400_000, 200
_BEATS = 100  #: exchanges a second; each brings its share of the writes


class Writer:
    """Writes at a steady rate, and knows when each write was acknowledged."""

    def __init__(self, server: Redis, rate: int) -> None:
        self.acknowledged: list[float] = []  #: when write N was
        self._server, self._each = server, rate // _BEATS
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def _write(self) -> None:
        with Link(self._server.server) as link:
            due = time.monotonic()
            while not self._over.is_set():
                first = len(self.acknowledged)
                numbers = range(first, first + self._each)
                try:
                    link.ask_all([("SET", f"write:{n % 100_000}", f"{n:>100}") for n in numbers])
                except LinkFault:
                    return
                self.acknowledged += [time.monotonic()] * self._each
                due += 1 / _BEATS
                time.sleep(max(0.0, due - time.monotonic()))

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


def measure_rpo(rounds: int | None) -> list[Figure]:
    dice = random.Random()  # noqa: S311 - moments, not secrets
    lost = [_lose_everything(dice.uniform(1.0, 4.0)) for _ in range(rounds or ROUNDS)]
    said = (
        f"{WRITES_A_SECOND} writes/s on loopback; kill -9 of the server at a random moment, its "
        "folder removed, the captured history loaded in a plain redis-server (what it had sent is "
        "still delivered, which a power cut would not do); from the last "
        "acknowledged write that is there to the last that was acknowledged"
    )
    return [
        Figure("rpo_loss_median_s", median(lost), len(lost), spread(lost), said),
        Figure("rpo_loss_max_s", max(lost), len(lost), spread(lost), said),
    ]


def _lose_everything(after: float) -> float:
    """Seconds of acknowledged writes that are not in the captured history."""
    with _folder() as folder:
        with redis(folder / "source") as source, capture(folder / "vault", source) as made:
            made.wait_covered()
            writer = Writer(source, WRITES_A_SECOND)
            time.sleep(after)
            source.kill()
            shutil.rmtree(source.folder)
            writer.stop()
            wait_for("the capture's notice", lambda: made.status()["state"] == "waiting")
        with loaded(folder / "copy", made.histories()[0]) as copy:
            there = _newest(copy, len(writer.acknowledged))
    if there < 0:
        raise BenchFault("the captured history holds none of the writes")
    return writer.acknowledged[-1] - writer.acknowledged[min(there, len(writer.acknowledged) - 1)]


def _newest(copy: Redis, written: int) -> int:
    keys = [("GET", f"write:{n}") for n in range(min(written, 100_000))]
    values = copy.ask_all([*keys])
    return max((int(value) for value in values if isinstance(value, bytes)), default=-1)


def measure_cost(runs: int | None) -> list[Figure]:
    costs, sizes = [], []
    with _folder() as folder, redis(folder / "source") as source:
        source.ask("DEBUG", "POPULATE", str(KEYS), "doc", str(KEY_BYTES))
        for number in range(runs or COST_RUNS):
            alone = _load(source)
            with capture(folder / f"vault{number}", source) as made:
                made.wait_covered(120)
                costs.append(_load(source) - alone)
                made.wait_covered(60)
                sizes.append(_peak_mb(made.process.child.pid))
    load = f"{COST_WRITES_A_SECOND} writes/s of 100 bytes for {COST_SECONDS:.0f} s"
    return [
        of_runs(
            "capture_cost_pct",
            costs,
            f"{load}, with and without capture: what the server's one thread needs more, in "
            "percent of what it has",
        ),
        of_runs(
            "capture_rss_mb",
            sizes,
            f"the highest of the process, over a dump of {KEYS * KEY_BYTES / 1e6:.0f} MB of "
            f"values and {load}",
        ),
    ]


def _load(source: Redis) -> float:
    """The processor time that the server needs for the load, in percent of one core."""
    pid = source.process.child.pid
    writer = Writer(source, COST_WRITES_A_SECOND)
    time.sleep(1.0)
    before, begun = _cpu_seconds(pid), time.monotonic()
    time.sleep(COST_SECONDS)
    used, took = _cpu_seconds(pid) - before, time.monotonic() - begun
    writer.stop()
    if len(writer.acknowledged) < 0.9 * COST_WRITES_A_SECOND * took:
        raise BenchFault("this machine is too busy for the load that was to be measured")
    return used / took * 100


def _cpu_seconds(pid: int) -> float:
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((each / "schedstat").read_text().split()[0]) for each in threads) / 1e9


def _peak_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(each.split()[1]) for each in lines if each.startswith("VmHWM:")) * 1024 / 1e6


@contextmanager
def _folder() -> Iterator[Path]:
    # Not below /tmp, which may be memory: the figures have fsync in them.
    folder = Path(tempfile.mkdtemp(prefix="autobot-dr-capture-", dir="/var/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
