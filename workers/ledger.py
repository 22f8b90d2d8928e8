"""The rows of an agent's journal, and the locks that go with them: one file, whoever has it open.

What lives here: SQL and locks, for the agent itself and for whoever acts on its machine in its
place. What must not: any import but the standard library's: while the agent is dead, the
coordinator sends this very file over SSH and the machine's own Python runs it, so that both
ways write to one journal. `serve` is that other end: a line asks, a line answers, and the lock
is held until whoever asked is gone.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

JOURNAL = "journal.db"  #: in the agent's state folder; its locks lie beside it
#: A file that is given up when the disk is full, so that what is done can be written down.
RESERVE, RESERVE_BYTES = "reserve", 8 * 1024 * 1024
PAUSE_SECONDS = 0.1  #: between two tries to get a lock that may be waited for only so long

CALLS = ("recall", "highest_epoch", "top_epoch", "begin", "finish", "withdrawn")

SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (
    id TEXT PRIMARY KEY, begun_at REAL NOT NULL, before TEXT, report TEXT, sent INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS epochs (machine TEXT PRIMARY KEY, epoch INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS withdrawn (id TEXT PRIMARY KEY, at REAL NOT NULL, reason TEXT NOT NULL)
 WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS unsent ON orders (begun_at) WHERE sent = 0 AND report IS NOT NULL;
"""


class Occupied(Exception):
    """Somebody else is carrying out an order for this target and did not end in time."""


class Ledger:
    """Opened once per process. What was written is on the disk when a call returns."""

    def __init__(self, path: Path) -> None:
        self._folder = path.parent
        self.note = ""  #: what had to be done to write at all, for people
        self.db = self._with_room(lambda: _opened(path))

    def recall(self, order: str) -> list[str | None] | None:
        """What was seen before it was begun, and its report, as JSON; None if not known."""
        row = self.db.execute("SELECT before, report FROM orders WHERE id = ?", (order,)).fetchone()
        return None if row is None else list(row)

    def highest_epoch(self, machine: str) -> int:
        found = self.db.execute("SELECT epoch FROM epochs WHERE machine = ?", (machine,)).fetchone()
        return int(found[0]) if found else 0

    def top_epoch(self) -> int:
        """The highest that any machine has obeyed by this journal."""
        return int(self.db.execute("SELECT coalesce(max(epoch), 0) FROM epochs").fetchone()[0])

    def begin(self, order: str, now: float, before: str, machine: str, epoch: int) -> None:
        """Raises if it was begun before."""
        self._with_room(lambda: self._begin(order, now, before, machine, epoch))

    def _begin(self, order: str, now: float, before: str, machine: str, epoch: int) -> None:
        with self._transaction():
            self.db.execute("INSERT INTO orders VALUES (?, ?, ?, NULL, 0)", (order, now, before))
            self._obey(machine, epoch)

    def finish(self, order: str, began: float, report: str, machine: str, epoch: int) -> None:
        self._with_room(lambda: self._finish(order, began, report, machine, epoch))

    def _finish(self, order: str, began: float, report: str, machine: str, epoch: int) -> None:
        with self._transaction():
            self.db.execute(
                "INSERT INTO orders VALUES (?, ?, NULL, ?, 0)"
                " ON CONFLICT (id) DO UPDATE SET report = excluded.report, sent = 0",
                (order, began, report),
            )
            self._obey(machine, epoch)

    def withdraw(self, orders: list[str], now: float, reason: str) -> None:
        """They are not begun any more, and what was begun is ended where that can be."""
        with self._transaction():
            self.db.executemany(
                "INSERT INTO withdrawn VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                [(order, now, reason) for order in orders],
            )

    def withdrawn(self, order: str) -> str:
        """Why this order is not to be carried out any more; empty when it is."""
        found = self.db.execute("SELECT reason FROM withdrawn WHERE id = ?", (order,)).fetchone()
        return str(found[0]) if found else ""

    @contextmanager
    def alone(self, target: str, *, seconds: float | None = None) -> Iterator[None]:
        """The only one at this target; waits for the others, for at most so long."""
        name = re.sub(r"[^A-Za-z0-9_-]", "_", target)[:100]
        with (self._folder / f"{name}.lock").open("w") as lock:
            if seconds is None:
                fcntl.flock(lock, fcntl.LOCK_EX)
            else:
                _lock_within(lock, target, seconds)
            yield

    def close(self) -> None:
        self.db.close()

    def _with_room(self, write: Callable[[], T]) -> T:
        """Once more without the reserve, where there was no room."""
        try:
            return write()
        except (sqlite3.OperationalError, OSError):
            reserve = self._folder / RESERVE
            if not reserve.exists() or _free(self._folder) >= RESERVE_BYTES:
                raise
            reserve.unlink()
            self.note = (
                f"the disk of {self._folder} is full; the agent's reserve there, "
                f"{RESERVE_BYTES // 1024**2} MB, was given up so that its journal can be written"
            )
            return write()

    def _obey(self, machine: str, epoch: int) -> None:
        self.db.execute(
            "INSERT INTO epochs VALUES (?, ?) ON CONFLICT (machine)"
            " DO UPDATE SET epoch = max(epoch, excluded.epoch)",
            (machine, epoch),
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")


def _opened(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(str(path), timeout=30, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.executescript(SCHEMA)
    return db


def keep_reserve(folder: Path) -> None:
    """Made where there is plenty of room; without it all works as long as there is any."""
    path = folder / RESERVE
    if path.exists() or _free(path.parent) < 4 * RESERVE_BYTES:
        return
    try:
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
    except OSError:
        path.unlink(missing_ok=True)


def _free(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _lock_within(lock: Any, target: str, seconds: float) -> None:
    ends = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > ends:
                raise Occupied(f"its agent is still at work on {target}") from None
            time.sleep(PAUSE_SECONDS)
        else:
            return


def serve(folder: str, target: str, seconds: float) -> None:
    """Take the lock, then answer until the asking end is gone."""
    try:
        # There may never have been an agent here; one that comes later finds what was done.
        Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        ledger = Ledger(Path(folder) / JOURNAL)
        with ledger.alone(target, seconds=seconds):
            _say(said=ledger.note)
            for line in sys.stdin:
                name, arguments = json.loads(line)
                if name not in CALLS:
                    raise ValueError(f"there is no call {name!r}")
                ledger.note = ""
                said = getattr(ledger, name)(*arguments)
                _say(said=said, note=ledger.note)
    except (OSError, sqlite3.Error, Occupied) as fault:
        _say(fault=str(fault))


def _say(**answer: Any) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], float(sys.argv[3]))
