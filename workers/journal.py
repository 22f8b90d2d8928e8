"""The agent's memory on its own disk: which orders it began, how they ended, which epoch rules.

What lives here: one small SQLite file. What must not: any decision about an order (guard.py).
It survives a kill at any point: `begin` and `finish` are on the disk when they return, so an
order is begun at most once, ever (P3), and the highest epoch is never forgotten (P2).

The standard library's sqlite3 and not SQLAlchemy: every megabyte counts on each machine.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tasks.contract import Json, WorkOrder, WorkReport

_SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (
    id TEXT PRIMARY KEY, begun_at REAL NOT NULL, before TEXT, report TEXT, sent INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS epochs (machine TEXT PRIMARY KEY, epoch INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS unsent ON orders (begun_at) WHERE sent = 0 AND report IS NOT NULL;
"""


@dataclass(frozen=True, slots=True)
class Memory:
    """What the journal knows of one order: begun with what was seen, perhaps finished."""

    before: Mapping[str, Json] | None
    report: WorkReport | None


class Journal:
    """Opened once per process. Concurrent processes of one agent share the file."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, timeout=30, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_SCHEMA)

    def recall(self, order: str) -> Memory | None:
        row = self._db.execute(
            "SELECT before, report FROM orders WHERE id = ?", (order,)
        ).fetchone()
        if row is None:
            return None
        before, report = row
        return Memory(
            json.loads(before) if before else None,
            WorkReport.from_wire(json.loads(report)) if report else None,
        )

    def highest_epoch(self, machine: str) -> int:
        found = self._db.execute(
            "SELECT epoch FROM epochs WHERE machine = ?", (machine,)
        ).fetchone()
        return int(found[0]) if found else 0

    def begin(self, order: WorkOrder, before: Mapping[str, Json], now: float) -> None:
        """Write down that the order is about to take effect. Raises if it was begun before."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO orders VALUES (?, ?, ?, NULL, 0)", (order.id, now, json.dumps(before))
            )
            self._obey(order)

    def finish(self, order: WorkOrder, report: WorkReport) -> None:
        """Write down how it ended, whether it was begun or needed no act."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO orders VALUES (?, ?, NULL, ?, 0)"
                " ON CONFLICT (id) DO UPDATE SET report = excluded.report, sent = 0",
                (order.id, report.started_at, json.dumps(report.to_wire())),
            )
            self._obey(order)

    def unsent(self) -> list[WorkReport]:
        rows = self._db.execute(
            "SELECT report FROM orders WHERE sent = 0 AND report IS NOT NULL ORDER BY begun_at"
        ).fetchall()
        return [WorkReport.from_wire(json.loads(report)) for (report,) in rows]

    def sent(self, order: str) -> None:
        """Forgetting this in a power cut only sends a report twice, so it need not be synced."""
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("UPDATE orders SET sent = 1 WHERE id = ?", (order,))
        self._db.execute("PRAGMA synchronous=FULL")

    def forget_before(self, moment: float) -> None:
        """Drop what is long over; `not_after` has been guarding against its replay since."""
        self._db.execute(
            "DELETE FROM orders WHERE begun_at < ? AND report IS NOT NULL AND sent = 1", (moment,)
        )

    def close(self) -> None:
        self._db.close()

    def _obey(self, order: WorkOrder) -> None:
        self._db.execute(
            "INSERT INTO epochs VALUES (?, ?) ON CONFLICT (machine)"
            " DO UPDATE SET epoch = max(epoch, excluded.epoch)",
            (order.machine, order.epoch),
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
