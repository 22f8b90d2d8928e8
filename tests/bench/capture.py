"""rpo_loss_…_s and capture_…: what is lost with Redis's machine, and what the capture costs.

What lives here: a real server under a steady load, its sudden end with its disk and its link, and
having back from the vault alone what it has. What must not: the capture itself, which runs as its
users run it.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from statistics import median

from tasks.backup import cutting
from tasks.backup.link import Link, LinkFault
from tests.backup.proxy import proxy
from tests.backup.rig import Capture, Redis, capture, redis
from tests.bench.figures import Figure, of_runs, spread
from tests.bench.product import BenchFault

ROUNDS, WRITES_A_SECOND = 20, 1000
OUTAGE = (0.2, 1.0)  #: seconds
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


class Death(StrEnum):
    """How the machine of Redis dies. The data dies with it in every one."""

    POWER = "power cut"  #: what it had sent and is still on its way is lost too
    PROCESS = "kill -9, what was sent still arrives"
    LINK = "link dead before"  #: for up to a second, while writes go on


def measure_rpo(rounds: int | None) -> list[Figure]:
    dice = random.Random()  # noqa: S311 - moments, not secrets
    count = rounds or ROUNDS
    lost = [_lose_everything(dice, Death.POWER) for _ in range(count)]
    others = {
        each: [_lose_everything(dice, each) for _ in range(-(-count // 4))]
        for each in (Death.PROCESS, Death.LINK)
    }
    said = (
        f"{WRITES_A_SECOND} writes/s on a fresh source, over a link that stops passing anything "
        "at a random moment; kill -9 of the server in that moment, its folder removed; a proved "
        "backup made of what the vault has, loaded in a plain redis-server; from the last "
        "acknowledged write that is there to the last that was acknowledged. Beside it, in "
        f"{-(-count // 4)} rounds each: only the process killed, and the link dead for "
        f"{OUTAGE[0]} to {OUTAGE[1]} s before it, which is then lost as well"
    )
    peers = ({str(name): of(each) for name, each in others.items()} for of in (median, max))
    return [
        Figure("rpo_loss_median_s", median(lost), count, spread(lost), said, next(peers)),
        Figure("rpo_loss_max_s", max(lost), count, spread(lost), said, next(peers)),
    ]


def _lose_everything(dice: random.Random, death: Death) -> float:
    """Seconds of acknowledged writes that cannot be had back from the vault."""
    with (
        _folder() as folder,
        redis(folder / "source") as source,
        proxy(source.port) as link,
        capture(folder / "vault", source, port=link.port) as made,
    ):
        made.wait_covered()
        writer = Writer(source, WRITES_A_SECOND)
        time.sleep(dice.uniform(1.0, 4.0))
        if death is not Death.PROCESS:
            link.cut()
        if death is Death.LINK:
            time.sleep(dice.uniform(*OUTAGE))
        source.kill()
        shutil.rmtree(source.folder)
        writer.stop()
        # The capture's own second: nothing tells it that anything has happened.
        time.sleep(1.5)
        there = _had_back(folder, made, len(writer.acknowledged))
    if there < 0:
        raise BenchFault("the vault has none of the writes")
    return writer.acknowledged[-1] - writer.acknowledged[min(there, len(writer.acknowledged) - 1)]


def _had_back(folder: Path, made: Capture, written: int) -> int:
    """The newest write in a backup made of what was captured."""
    backups, place = folder / "backups", folder / "restored"
    for each in (backups, place):
        each.mkdir()
    nobody = cutting.Settings(str(backups), str(made.root), "127.0.0.1", made.source.port)
    found = cutting.cut(nobody)
    if found.manifest.state != "verified":
        raise BenchFault(f"what was captured is not proved: {found.manifest.reason}")
    shutil.copy(found.folder / "dump.rdb", place)
    with redis(place) as copy:
        return _newest(copy, written)


def _newest(copy: Redis, written: int) -> int:
    keys = [("GET", f"write:{n}") for n in range(min(written, 100_000))]
    values = copy.ask_all([*keys])
    return max((int(value) for value in values if isinstance(value, bytes)), default=-1)


def measure_cost(runs: int | None) -> list[Figure]:
    pairs: list[tuple[Load, Load]] = []
    sizes: list[float] = []
    with _folder() as folder, redis(folder / "source") as source:
        source.ask("DEBUG", "POPULATE", str(KEYS), "doc", str(KEY_BYTES))
        for number in range(runs or COST_RUNS):
            # Whichever comes second finds a machine that is a little different.
            first = None if number % 2 else _load(source)
            with capture(folder / f"vault{number}", source) as made, _watched(made) as sizes_of:
                made.wait_covered(120)
                taken = _load(source)
                made.wait_covered(60)
            sizes.append(max(sizes_of))
            pairs.append((first or _load(source), taken))
    load = f"{COST_WRITES_A_SECOND} writes/s of 100 bytes for {COST_SECONDS:.0f} s"
    slower = median(100 * (1 - taken.rate / alone.rate) for alone, taken in pairs)
    alone = median(each.busy for each, _ in pairs)
    return [
        of_runs(
            "capture_cost_pct",
            [taken.busy - alone.busy for alone, taken in pairs],
            f"{load} offered, with and without capture: what the server's one thread needs more, "
            f"in percent of what it has; without capture it needs {alone:.1f} %, and "
            f"{slower:.2f} % fewer writes were answered with it",
        ),
        of_runs(
            "capture_rss_mb",
            sizes,
            f"the highest PSS of the process, looked at ten times a second, over a dump of "
            f"{KEYS * KEY_BYTES / 1e6:.0f} MB of values and {load}",
        ),
    ]


@dataclass(frozen=True, slots=True)
class Load:
    """What became of a load: percent of one core that the server needed, and writes a second."""

    busy: float
    rate: float


def _load(source: Redis) -> Load:
    pid = source.process.child.pid
    writer = Writer(source, COST_WRITES_A_SECOND)
    time.sleep(1.0)
    before, begun, first = _cpu_seconds(pid), time.monotonic(), len(writer.acknowledged)
    time.sleep(COST_SECONDS)
    used, took = _cpu_seconds(pid) - before, time.monotonic() - begun
    rate = (len(writer.acknowledged) - first) / took
    writer.stop()
    if rate < 0.9 * COST_WRITES_A_SECOND:
        raise BenchFault("this machine is too busy for the load that was to be measured")
    return Load(used / took * 100, rate)


def _cpu_seconds(pid: int) -> float:
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((each / "schedstat").read_text().split()[0]) for each in threads) / 1e9


@contextmanager
def _watched(made: Capture) -> Iterator[list[float]]:
    """Its size in MB, again and again."""
    found, over = [0.0], threading.Event()

    def look() -> None:
        while not over.wait(0.1):
            with suppress(OSError, IndexError, StopIteration):
                lines = Path(f"/proc/{made.process.child.pid}/smaps_rollup").read_text()
                pss = next(each for each in lines.splitlines() if each.startswith("Pss:"))
                found.append(int(pss.split()[1]) * 1024 / 1e6)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


@contextmanager
def _folder() -> Iterator[Path]:
    # Not below /tmp, which may be memory: the figures have fsync in them.
    folder = Path(tempfile.mkdtemp(prefix="autobot-dr-capture-", dir="/var/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
