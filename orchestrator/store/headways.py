"""How far steps are, in SQL, and in memory. The port: orchestrator/headways.py."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from orchestrator.store import codec
from orchestrator.store.tables import HEADWAYS
from orchestrator.store.transaction import transaction
from tasks.contract import Headway

_T = HEADWAYS.c


class SqlHeadways:
    """`Headways` in a database."""

    def __init__(self, reads: sa.Engine, writes: sa.Engine) -> None:
        self._reads, self._writes = reads, writes
        postgres = writes.dialect.name == "postgresql"
        add: Any = (postgresql.insert if postgres else sqlite.insert)(HEADWAYS)
        self._record = add.on_conflict_do_update(
            index_elements=["step"],
            set_={"at": add.excluded.at, "headway": add.excluded.headway},
            where=_T.at <= add.excluded.at,
        )

    def record(self, headway: Headway) -> None:
        row = {
            "step": headway.order,
            "run": headway.run,
            "at": headway.at,
            "headway": codec.encode(codec.HEADWAY, headway),
        }
        with transaction(self._writes) as connection:
            connection.execute(self._record, row)

    def of_run(self, run: str) -> Mapping[str, Headway]:
        query = sa.select(_T.step, _T.headway).where(_T.run == run)
        with transaction(self._reads) as connection:
            rows = connection.execute(query).all()
        return {row.step: codec.decode(codec.HEADWAY, row.headway) for row in rows}


class MemoryHeadways:
    """The twin."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._newest: dict[str, Headway] = {}

    def record(self, headway: Headway) -> None:
        with self._lock:
            known = self._newest.get(headway.order)
            if known is None or known.at <= headway.at:
                self._newest[headway.order] = headway

    def of_run(self, run: str) -> Mapping[str, Headway]:
        with self._lock:
            return {name: each for name, each in self._newest.items() if each.run == run}
