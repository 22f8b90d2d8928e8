"""The lease in SQL, and in memory. The port and its contract: orchestrator/lease.py.

What lives here: both implementations. What must not: when it is taken (leadership.py). A
take-over changes the row's key. In PostgreSQL that waits for whoever has locked the key, which
each write of the leader does (transaction.py), while renewing changes no key and waits for
nobody. In SQLite there is one writer at a time anyway.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import Any

import sqlalchemy as sa

from orchestrator.lease import Candidate, Fence, Leader
from orchestrator.ports import NotLeading
from orchestrator.store.tables import LEASE
from orchestrator.store.transaction import transaction

_T = LEASE.c


class SqlLease:
    """`Lease` in a database, on connections of its own: a write that hangs must not cost it."""

    def __init__(self, writes: sa.Engine) -> None:
        self._writes = writes
        # The server's clock as it is now, and not as it was when the transaction began.
        self._now: Any = (
            sa.extract("epoch", sa.func.clock_timestamp())
            if writes.dialect.name == "postgresql"
            else (sa.func.julianday("now") - 2440587.5) * 86400.0
        )

    def take(self, candidate: Candidate, seconds: float) -> int | None:
        free = sa.or_(_T.until <= self._now, _T.holder.in_(("", candidate.holder)))
        taken = (
            sa.update(LEASE)
            .where(free)
            .values(
                term=_T.term + 1,
                holder=candidate.holder,
                name=candidate.name,
                url=candidate.url,
                until=self._now + seconds,
            )
            .returning(_T.term)
        )
        with transaction(self._writes) as connection:
            return connection.execute(taken).scalar_one_or_none()

    def renew(self, term: int, seconds: float) -> bool:
        renewed = sa.update(LEASE).where(_T.term == term, _T.holder != "")
        with transaction(self._writes) as connection:
            return connection.execute(renewed.values(until=self._now + seconds)).rowcount == 1

    def give_back(self, term: int) -> None:
        # Counted up, so that what this process would still write is refused.
        ended = sa.update(LEASE).where(_T.term == term)
        with transaction(self._writes) as connection:
            connection.execute(ended.values(term=_T.term + 1, holder="", until=0.0))

    def look(self) -> Leader:
        left = (_T.until - self._now).label("left_s")
        query = sa.select(_T.term, _T.holder, _T.name, _T.url, left)
        with transaction(self._writes) as connection:
            return Leader(**connection.execute(query).mappings().one())

    def close(self) -> None:
        self._writes.dispose()


class MemoryLease:
    """The twin. `clock` counts seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, Lock()
        self._term, self._until = 0, 0.0
        self._by = Candidate("", "", "")

    def take(self, candidate: Candidate, seconds: float) -> int | None:
        with self._lock:
            if self._until > self._clock() and self._by.holder not in ("", candidate.holder):
                return None
            self._term, self._by = self._term + 1, candidate
            self._until = self._clock() + seconds
            return self._term

    def renew(self, term: int, seconds: float) -> bool:
        with self._lock:
            if term != self._term or not self._by.holder:
                return False
            self._until = self._clock() + seconds
            return True

    def give_back(self, term: int) -> None:
        with self._lock:
            if term == self._term:
                self._term, self._by = self._term + 1, Candidate("", "", "")

    def look(self) -> Leader:
        with self._lock:
            by, left = self._by, self._until - self._clock()
            return Leader(self._term, by.holder, by.name, by.url, left)

    def demand(self, fence: Fence) -> None:
        """The same check, by whoever holds the store's lock."""
        if fence.term is None:
            return
        if fence.term == Fence.NOBODY or fence.term != self._term:
            raise NotLeading(fence.refusal())
