"""The call book in SQL.

What lives here: `SqlCalls`, the statements of the CallBook's contract. What must not: who is
called and when (core/escalation.py). A claim is a compare-and-swap on the row's state; the
moment of the claim then proves whose it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from orchestrator.core.escalation import Call, CallKind, CallState, NewCall
from orchestrator.core.events import Entry
from orchestrator.notify.book import CLAIM_SECONDS
from orchestrator.store.tables import CALLS, TIMELINE
from orchestrator.store.transaction import transaction

_WAITS = CALLS.c.state == CallState.WAITING.value
_IN_HAND = CALLS.c.state == CallState.SENDING.value


class SqlCalls:
    """A `CallBook` in the store's database."""

    def __init__(self, reads: sa.Engine, writes: sa.Engine) -> None:
        self._reads, self._writes = reads, writes
        insert = postgresql.insert if writes.dialect.name == "postgresql" else sqlite.insert
        self._add = insert(CALLS).on_conflict_do_nothing()

    def plan(self, calls: Sequence[NewCall]) -> None:
        if not calls:
            return
        fresh = {"state": CallState.WAITING.value, "attempts": 0, "error": ""}
        with transaction(self._writes) as connection:
            for call in calls:
                row = {each.name: getattr(call, each.name) for each in fields(NewCall)}
                connection.execute(self._add, row | fresh | {"kind": call.kind.value})

    def due(self, now: float) -> Sequence[Call]:
        query = sa.select(CALLS).where(_WAITS, CALLS.c.due_at <= now)
        return self._read(query.order_by(CALLS.c.due_at, CALLS.c.id))

    def claim(self, call: int, now: float) -> Call | None:
        claimed = (
            sa.update(CALLS)
            .where(CALLS.c.id == call, _WAITS)
            .values(
                state=CallState.SENDING.value,
                attempts=CALLS.c.attempts + 1,
                claimed_at=now,
            )
            .returning(*CALLS.c)
        )
        with transaction(self._writes) as connection:
            row = connection.execute(claimed).mappings().first()
            return _call(row) if row else None

    def sent(self, call: Call, told: Entry) -> None:
        # Also one that was stopped meanwhile: it went out.
        ours = CALLS.c.state.in_([CallState.SENDING.value, CallState.STOPPED.value])
        values = {"state": CallState.SENT.value, "ended_at": told.at, "error": ""}
        with transaction(self._writes) as connection:
            marked = connection.execute(sa.update(CALLS).where(*_same(call), ours).values(values))
            if marked.rowcount:
                line = {"run": call.run, **asdict(told)}
                connection.execute(sa.insert(TIMELINE), line)

    def failed(
        self,
        call: Call,
        error: str,
        now: float,
        *,
        retry_at: float | None = None,
        sooner: Sequence[int] = (),
    ) -> None:
        values: dict[str, Any] = {"state": CallState.FAILED.value, "ended_at": now}
        if retry_at is not None:
            values = {"state": CallState.WAITING.value, "due_at": retry_at}
        with transaction(self._writes) as connection:
            changed = connection.execute(
                sa.update(CALLS).where(*_same(call), _IN_HAND).values(**values, error=error)
            )
            if changed.rowcount and sooner:
                later = (CALLS.c.id.in_(list(sooner)), _WAITS, CALLS.c.due_at > now)
                connection.execute(sa.update(CALLS).where(*later).values(due_at=now))

    def drop(self, call: int, reason: str, now: float) -> None:
        with transaction(self._writes) as connection:
            connection.execute(_stopping(reason, now).where(CALLS.c.id == call, _WAITS))

    def stop(self, calls: Sequence[int], reason: str, now: float) -> None:
        if not calls:
            return
        with transaction(self._writes) as connection:
            these = (CALLS.c.id.in_(list(calls)), sa.or_(_WAITS, _IN_HAND))
            connection.execute(_stopping(reason, now).where(*these))

    def recover(self, now: float) -> int:
        dead = (_IN_HAND, CALLS.c.claimed_at <= now - CLAIM_SECONDS)
        # A look first: this is asked every second, and a writer would make others wait.
        if not self._read(sa.select(CALLS).where(*dead)):
            return 0
        with transaction(self._writes) as connection:
            waiting = sa.update(CALLS).where(*dead).values(state=CallState.WAITING.value)
            return connection.execute(waiting).rowcount

    def of_run(self, run: str) -> Sequence[Call]:
        return self._read(sa.select(CALLS).where(CALLS.c.run == run).order_by(CALLS.c.id))

    def _read(self, query: sa.Select[Any]) -> Sequence[Call]:
        with transaction(self._reads) as connection:
            return [_call(row) for row in connection.execute(query).mappings()]


def _same(call: Call) -> tuple[sa.ColumnElement[bool], ...]:
    return CALLS.c.id == call.id, CALLS.c.claimed_at == call.claimed_at


def _stopping(reason: str, now: float) -> sa.Update:
    values = {"state": CallState.STOPPED.value, "ended_at": now, "error": reason}
    return sa.update(CALLS).values(values)


def _call(row: Mapping[Any, Any]) -> Call:
    told = {"kind": CallKind(row["kind"]), "state": CallState(row["state"])}
    return Call(**{each.name: row[each.name] for each in fields(Call)} | told)
