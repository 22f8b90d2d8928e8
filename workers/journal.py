"""The agent's memory on its own disk: which orders it began, how they ended, which epoch rules.

What lives here: orders and reports in terms of the ledger's rows (ledger.py). What must not:
any decision about an order (guard.py), and where the file is: `Book` is also what the
coordinator keeps over SSH on a machine whose agent is dead.
It survives a kill at any point: `begin` and `finish` are on the disk when they return, so an
order is begun at most once, ever (P3), and the highest epoch is never forgotten (P2).

The standard library's sqlite3 and not SQLAlchemy: every megabyte counts on each machine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tasks.contract import Json, Withdrawal, WorkOrder, WorkReport
from workers.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Memory:
    """What the journal knows of one order: begun with what was seen, perhaps finished."""

    before: Mapping[str, Json] | None
    report: WorkReport | None


class Rows(Protocol):
    """A ledger, wherever it is."""

    def recall(self, order: str) -> list[str | None] | None: ...

    def highest_epoch(self, machine: str) -> int: ...

    def top_epoch(self) -> int: ...

    def begin(self, order: str, now: float, before: str, machine: str, epoch: int) -> None: ...

    def finish(self, order: str, began: float, report: str, machine: str, epoch: int) -> None: ...

    def withdrawn(self, order: str) -> str: ...

    def alone(self, target: str) -> AbstractContextManager[None]: ...


class Book:
    """What an executor asks of a journal."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def recall(self, order: str) -> Memory | None:
        row = self._rows.recall(order)
        if row is None:
            return None
        before, report = row
        return Memory(
            json.loads(before) if before else None,
            WorkReport.from_wire(json.loads(report)) if report else None,
        )

    def highest_epoch(self, machine: str) -> int:
        return self._rows.highest_epoch(machine)

    def top_epoch(self) -> int:
        """The highest that any machine has obeyed by this journal."""
        with self._rows.alone("epochs"):
            return self._rows.top_epoch()

    def begin(self, order: WorkOrder, before: Mapping[str, Json], now: float) -> None:
        """Write down that the order is about to take effect. Raises if it was begun before."""
        self._rows.begin(order.id, now, json.dumps(before), order.machine, order.epoch)

    def finish(self, order: WorkOrder, report: WorkReport) -> None:
        """Write down how it ended, whether it was begun or needed no act."""
        text = json.dumps(report.to_wire())
        self._rows.finish(order.id, report.started_at, text, order.machine, order.epoch)

    def withdrawn(self, order: str) -> str:
        """Why it is not to be carried out any more; empty when it is."""
        return self._rows.withdrawn(order)

    def alone_on(self, order: WorkOrder, *, beside: bool = False) -> AbstractContextManager[None]:
        """Nobody else carries out an order for the same service meanwhile, by whatever way.

        What may go on `beside` others only keeps out its own kind.
        """
        place = f"{order.machine}.{order.service}"
        return self._rows.alone(f"{place}.{order.operation}" if beside else place)


class Journal(Book):
    """The agent's own. Opened once per process; processes of one agent share the file."""

    def __init__(self, path: Path) -> None:
        self._ledger = Ledger(path)
        self._db = self._ledger.db
        super().__init__(self._ledger)

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

    def withdraw(self, withdrawal: Withdrawal) -> None:
        """Write down which orders are not to be carried out any more."""
        self._ledger.withdraw(list(withdrawal.orders), withdrawal.at, withdrawal.reason)

    def forget_before(self, moment: float) -> None:
        """Drop what is long over; `not_after` has been guarding against its replay since."""
        self._db.execute(
            "DELETE FROM orders WHERE begun_at < ? AND report IS NOT NULL AND sent = 1", (moment,)
        )
        self._db.execute("DELETE FROM withdrawn WHERE at < ?", (moment,))

    def close(self) -> None:
        self._ledger.close()
