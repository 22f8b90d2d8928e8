"""restore_ratio: from the order to restore Redis to clients let in, beside plain loads of the file.

What lives here: data of several sizes, the operation as an agent carries it out, in a process
of its own, and a plain redis-server on the same file. What must not: the operation itself.
systemd's stand-in is asked (tests/backup/bin), whose starts are in the figure.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tasks.backup import dump, proving
from tasks.backup.scratch import Programs
from tasks.catalog import operations
from tasks.contract import Outcome
from tasks.host import LocalHost
from tasks.operation import Tell, carry_out
from tests.backup.rig import Redis, redis
from tests.backup.systemd import UNIT, fake_systemd
from tests.bench.figures import Figure, spread
from tests.bench.product import BenchFault
from tests.integration.rig import ROOT

#: Megabytes of a dump. The issue's third size, 4000, needs 16 GB of memory and of disk.
SIZES = os.environ.get("AUTOBOT_DR_BENCH_RESTORE_MB", "200,1000")
RUNS = 5
#: Documents, and vectors with as many bytes together: what a knowledge base is made of.
DOCUMENT_BYTES, VECTOR_BYTES, DOCUMENTS_TO_A_VECTOR = 300, 3000, 10


@dataclass(frozen=True, slots=True)
class Times:
    """Of one restore, and of one plain load, in seconds; and what our process took, in MB."""

    restore: float
    load: float
    megabytes: float

    @property
    def ratio(self) -> float:
        return self.restore / (2 * self.load)


def measure(runs: int | None) -> list[Figure]:
    by_size = {f"{size} MB": _measure(int(size), runs or RUNS) for size in SIZES.split(",")}
    ratios = {size: median(each.ratio for each in times) for size, times in by_size.items()}
    worst = max(ratios, key=lambda size: ratios[size])
    said = "; ".join(
        f"{size}: {median(each.restore for each in times):.2f} s against twice "
        f"{median(each.load for each in times):.2f} s, our process at most "
        f"{max(each.megabytes for each in times):.0f} MB"
        for size, times in by_size.items()
    )
    conditions = (
        "append-only on, the backup on the same disk; from the order until clients are let in, "
        "against twice the time that a plain redis-server needs for the same file; the worst of "
        f"the sizes. {said}"
    )
    spreads = spread([each.ratio for each in by_size[worst]])
    return [Figure("restore_ratio", ratios[worst], runs or RUNS, spreads, conditions, peers=ratios)]


def _measure(megabytes: int, runs: int) -> list[Times]:
    with _folder() as folder:
        backup = _backup(folder, megabytes)
        return [_once(folder / str(number), backup) for number in range(runs)]


def _backup(folder: Path, megabytes: int) -> Path:
    """A proved backup with a dump of about this size."""
    with redis(folder / "source") as source:
        _fill(source, megabytes * 10**6)
        taken, _ = dump.take(dump.Settings(f"{folder}/backups", "127.0.0.1", source.port))
    proved, _ = proving.prove(LocalHost(), str(taken), Programs(), ("doc:*",))
    if proved.state != "verified":
        raise BenchFault(f"the backup to measure with failed its proof: {proved.reason}")
    return taken


def _fill(source: Redis, wanted: int) -> None:
    dice = random.Random(1)  # noqa: S311 - bytes that do not compress, not secrets
    number = 0
    while number * DOCUMENT_BYTES * 2 < wanted:
        batch: list[tuple[str | bytes, ...]] = []
        for number in range(number, number + 10_000):  # noqa: B020 goes on where it was
            batch.append(("SET", f"doc:{number}", dice.randbytes(DOCUMENT_BYTES)))
            if number % DOCUMENTS_TO_A_VECTOR == 0:
                batch.append(("HSET", f"vector:{number}", "v", dice.randbytes(VECTOR_BYTES)))
        source.ask_all(batch)
        number += 1


def _once(place: Path, backup: Path) -> Times:
    place.mkdir()
    with redis(place / "production", appendonly="yes") as server:
        server.fill(1000, "live:")
        with fake_systemd(place, server):
            restore, megabytes = _restore(server, backup)
    load = _load(place / "plain", backup)
    shutil.rmtree(place)
    return Times(restore, load, megabytes)


def _restore(server: Redis, backup: Path) -> tuple[float, float]:
    given = {"address": "127.0.0.1", "port": server.port, "backup": str(backup), "unit": UNIT}
    argv = [sys.executable, "-m", "tests.bench.restore", json.dumps(given)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchFault(f"the restore to measure failed: {done.stdout}{done.stderr}")
    said = json.loads(done.stdout.splitlines()[-1])
    return float(said["seconds"]), float(said["megabytes"])


def _load(folder: Path, backup: Path) -> float:
    folder.mkdir()
    (folder / "dump.rdb").hardlink_to(backup / proving.DUMP)
    begun = time.monotonic()
    with redis(folder):
        return time.monotonic() - begun


def _carried_out(given: dict[str, str]) -> int:
    host, told = LocalHost(), []
    begun = time.monotonic()

    def tell(line: str) -> None:
        told.append(f"{time.monotonic() - begun:.2f} {line}")

    result = carry_out(
        host, operations()["redis.restore"], given, ends=host.now() + 1800, tell=Tell(tell)
    )
    seconds = time.monotonic() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    said = {"seconds": seconds, "megabytes": peak, "told": told, "reason": result.reason}
    print(json.dumps(said))
    return 0 if result.outcome is Outcome.DONE else 1


@contextmanager
def _folder() -> Iterator[Path]:
    # Not below /tmp, which may be memory: the figure has fsync in it.
    folder = Path(tempfile.mkdtemp(prefix="autobot-dr-restore-", dir="/var/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    raise SystemExit(_carried_out(json.loads(sys.argv[1])))
