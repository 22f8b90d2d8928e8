"""One transaction, in its fence, and what a database that is away looks like from outside.

What must not be here: what is read or written in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoFreeConnection

from orchestrator.lease import Fence
from orchestrator.ports import NotLeading, StoreUnavailable
from orchestrator.store.tables import LEASE


@contextmanager
def transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """All of it or nothing. A lost answer to the commit also ends here: look before retrying."""
    try:
        with engine.begin() as connection:
            if (fence := engine.get_execution_options().get("fence")) is not None:
                _demand(connection, fence)
            yield connection
    except (OperationalError, InterfaceError) as error:
        raise StoreUnavailable(f"the store did not answer: {error.orig}") from error
    except NoFreeConnection as error:
        raise StoreUnavailable("the store has no free connection; try again") from error


def _demand(connection: sa.Connection, fence: Fence) -> None:
    """Go on only in the fence's term, which then cannot end before this transaction does."""
    term = fence.term
    if term is None:
        return
    # Of the locks on a row the weakest that a change of its key waits for.
    query = sa.select(LEASE.c.term).where(LEASE.c.term == term)
    query = query.with_for_update(read=True, key_share=True)
    if term == Fence.NOBODY or connection.execute(query).first() is None:
        raise NotLeading(fence.refusal())
