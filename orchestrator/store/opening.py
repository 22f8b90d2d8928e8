"""Opening a database: reached by URL, refused when it is not ours, brought up to date.

What lives here: `open_store`, and what SQLite and PostgreSQL need to be told on each
connection. What must not: statements of the store's contract (sql.py).
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError

from orchestrator.ports import Store, StoreUnavailable
from orchestrator.store.lease import SqlLease
from orchestrator.store.sql import SqlStore

VERSION_TABLE = "autobot_dr_version"
BUSY_SECONDS = 5  #: how long to wait for another writer, or for a server to let us in
STANDING_SECONDS = 5  #: in the middle of a transaction that does not go on
#: After about 11 s either end knows that the other's machine was lost.
KEEPALIVES = {"idle": 5, "interval": 2, "count": 3}
SERVER_SILENT_SECONDS = 10  #: a server that acknowledges nothing for so long is gone

#: Any constant number: two coordinators that start at once migrate one after the other.
MIGRATION_LOCK = 0x0A0B07D2


class StoreRefused(Exception):
    """This database cannot be used as it is; nothing in it was changed."""


def open_store(url: str) -> Store:
    """The store behind a URL, migrated. StoreRefused and StoreUnavailable say what is wrong."""
    engine = engine_for(url)
    shown = engine.url.render_as_string(hide_password=True)
    writes = engine.execution_options(begin="BEGIN IMMEDIATE")
    # A run and its steps are two selects; in PostgreSQL only this makes them one picture.
    isolation: dict[str, Any] = {"isolation_level": "REPEATABLE READ"}
    reads = engine.execution_options(**isolation if engine.name == "postgresql" else {})
    try:
        with writes.begin() as connection:
            _migrate(connection, shown)
    except OperationalError as error:
        engine.dispose()
        raise StoreUnavailable(f"the store {shown} cannot be reached: {error.orig}") from error
    except DatabaseError as error:
        engine.dispose()
        raise StoreRefused(f"{shown} is not a database of AutoBot DR: {error.orig}") from error
    except StoreRefused:
        engine.dispose()
        raise
    # Its own connection: writes that wait for a hanging server must not keep it from being renewed.
    apart = engine_for(url).execution_options(begin="BEGIN IMMEDIATE")
    return SqlStore(reads, writes, SqlLease(apart))


def engine_for(text: str) -> sa.Engine:
    """How a database is spoken to; nothing is reached yet."""
    try:
        url = sa.make_url(text)
    except ArgumentError:
        raise StoreRefused(
            "the store's URL cannot be read; write sqlite:////path/to/store.db"
            " or postgresql://user@host/database"
        ) from None
    if url.drivername == "sqlite" and url.database not in (None, "", ":memory:"):
        return _sqlite(url)
    if url.get_backend_name() in ("postgresql", "postgres"):
        return _postgresql(url.set(drivername="postgresql+psycopg"))
    raise StoreRefused(
        f"a store at {url.render_as_string(hide_password=True)} is not supported;"
        " use a SQLite file (sqlite:////path/to/store.db) or PostgreSQL"
    )


def _sqlite(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_SECONDS})

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        # The driver would begin a transaction by itself, and later than we mean it.
        connection.isolation_level = None
        _use_wal(connection)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # A writer that began as a reader would fail at once when another writes, not wait.
        connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))

    return engine


def _use_wal(connection: sqlite3.Connection) -> None:
    """A new file's first switch to WAL does not wait for others who do the same; we do."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _postgresql(url: sa.URL) -> sa.Engine:
    # What a process that was stopped in the middle has locked, the server gives free. Of a machine
    # that was lost it would keep the sessions, for hours, out of the few that it has.
    asked = {"idle_in_transaction_session_timeout": STANDING_SECONDS * 1000}
    asked["tcp_user_timeout"] = SERVER_SILENT_SECONDS * 1000
    asked |= {f"tcp_keepalives_{name}": value for name, value in KEEPALIVES.items()}
    options = [str(url.query.get("options", "")), *(f"-c {n}={v}" for n, v in asked.items())]
    bounds: dict[str, Any] = {
        "connect_timeout": BUSY_SECONDS,
        "tcp_user_timeout": SERVER_SILENT_SECONDS * 1000,
        "options": " ".join(filter(None, options)),
    }
    # Whoever waits for an answer sends nothing that could stay unacknowledged.
    bounds |= {f"keepalives_{name}": value for name, value in KEEPALIVES.items()}
    return sa.create_engine(url, connect_args=bounds)


def _migrate(connection: sa.Connection, shown: str) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    config.attributes["version_table"] = VERSION_TABLE
    scripts = ScriptDirectory.from_config(config)
    options = {"version_table": VERSION_TABLE}
    version = MigrationContext.configure(connection, opts=options).get_current_revision()
    if version == scripts.get_current_head():
        return
    if version is None and (strange := sa.inspect(connection).get_table_names()):
        raise StoreRefused(
            f"{shown} holds tables of something else ({', '.join(sorted(strange)[:3])}, …);"
            " give the store a database of its own"
        )
    if version is not None and version not in {each.revision for each in scripts.walk_revisions()}:
        raise StoreRefused(
            f"the store {shown} was made by a newer AutoBot DR (its version {version} is not"
            " known here); start that version, or give this one another store"
        )
    command.upgrade(config, "head")
