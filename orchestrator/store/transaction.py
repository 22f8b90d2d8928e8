"""One transaction, and what a database that is away looks like from outside.

What must not be here: statements.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoFreeConnection

from orchestrator.ports import StoreUnavailable


@contextmanager
def transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """All of it or nothing. A lost answer to the commit also ends here: look before retrying."""
    try:
        with engine.begin() as connection:
            yield connection
    except (OperationalError, InterfaceError) as error:
        raise StoreUnavailable(f"the store did not answer: {error.orig}") from error
    except NoFreeConnection as error:
        raise StoreUnavailable("the store has no free connection; try again") from error
