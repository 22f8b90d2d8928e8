"""The call book's in-memory twin.

What lives here: `MemoryCalls`. What must not: anything that the SQL book does not do; both pass
tests/contracts/test_call_book.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from threading import Lock
from typing import Any

from orchestrator.core.escalation import Call, CallState, NewCall
from orchestrator.core.events import Entry
from orchestrator.notify.book import CLAIM_SECONDS


class MemoryCalls:
    """A `CallBook` in a dictionary under one lock."""

    def __init__(self, add_entry: Callable[[str, Entry], None]) -> None:
        self._lock = Lock()
        self._add_entry = add_entry
        self._calls: dict[int, Call] = {}

    def plan(self, calls: Sequence[NewCall]) -> None:
        with self._lock:
            keys = {each.key for each in self._calls.values()}
            for call in calls:
                if call.key not in keys:
                    keys.add(call.key)
                    number = len(self._calls) + 1
                    self._calls[number] = Call(**asdict(call), id=number)

    def due(self, now: float) -> Sequence[Call]:
        found = self._where(lambda c: c.state is CallState.WAITING and c.due_at <= now)
        return sorted(found, key=lambda c: (c.due_at, c.id))

    def claim(self, call: int, now: float) -> Call | None:
        with self._lock:
            known = self._calls.get(call)
            if known is None or known.state is not CallState.WAITING:
                return None
            attempts = known.attempts + 1
            claimed = replace(known, state=CallState.SENDING, attempts=attempts, claimed_at=now)
            self._calls[call] = claimed
            return claimed

    def sent(self, call: Call, told: Entry) -> None:
        ours = (CallState.SENDING, CallState.STOPPED)
        if self._change(
            lambda c: _same(c, call) and c.state in ours,
            state=CallState.SENT,
            ended_at=told.at,
            error="",
        ):
            self._add_entry(call.run, told)

    def failed(
        self,
        call: Call,
        error: str,
        now: float,
        *,
        retry_at: float | None = None,
        sooner: Sequence[int] = (),
    ) -> None:
        values: dict[str, Any] = {"state": CallState.FAILED, "ended_at": now}
        if retry_at is not None:
            values = {"state": CallState.WAITING, "due_at": retry_at}
        changed = self._change(
            lambda c: _same(c, call) and c.state is CallState.SENDING, **values, error=error
        )
        if changed:
            self._change(
                lambda c: c.id in sooner and c.state is CallState.WAITING and c.due_at > now,
                due_at=now,
            )

    def drop(self, call: int, reason: str, now: float) -> None:
        self._change(
            lambda c: c.id == call and c.state is CallState.WAITING,
            state=CallState.STOPPED,
            ended_at=now,
            error=reason,
        )

    def stop(self, calls: Sequence[int], reason: str, now: float) -> None:
        going = (CallState.WAITING, CallState.SENDING)
        self._change(
            lambda c: c.id in calls and c.state in going,
            state=CallState.STOPPED,
            ended_at=now,
            error=reason,
        )

    def recover(self, now: float) -> int:
        return self._change(
            lambda c: c.state is CallState.SENDING and (c.claimed_at or 0) <= now - CLAIM_SECONDS,
            state=CallState.WAITING,
        )

    def of_run(self, run: str) -> Sequence[Call]:
        return self._where(lambda c: c.run == run)

    def _where(self, which: Callable[[Call], bool]) -> list[Call]:
        with self._lock:
            return [each for each in self._calls.values() if which(each)]

    def _change(self, which: Callable[[Call], bool], **values: Any) -> int:
        with self._lock:
            found = [each for each in self._calls.values() if which(each)]
            for each in found:
                self._calls[each.id] = replace(each, **values)
            return len(found)


def _same(one: Call, other: Call) -> bool:
    return (one.id, one.claimed_at) == (other.id, other.claimed_at)
