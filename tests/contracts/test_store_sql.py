"""What only a database can show: processes, deaths, and databases that are refused."""

from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from orchestrator.ports import Store, StoreUnavailable
from orchestrator.store import StoreRefused, open_store
from orchestrator.store.opening import BUSY_SECONDS, VERSION_TABLE, engine_for
from orchestrator.store.tables import METADATA
from tests.contracts.databases import Database, begin, count_up, new_incident
from tests.contracts.postgres import Server

VERSIONS = sa.table(VERSION_TABLE, sa.column("version_num"))

both = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)


def plain_engine(database: Database) -> sa.Engine:
    return sa.create_engine(database.url.replace("postgresql:", "postgresql+psycopg:"))


def writer(database: Database, times: int, name: str) -> subprocess.Popen[str]:
    arguments = ["-m", "tests.contracts.writer", database.url, "run-1", str(times), name]
    process = subprocess.Popen(
        [sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@both
def test_what_was_saved_is_there_after_closing(database: Database) -> None:
    store = open_store(database.url)
    _, stored = begin(store)
    effects, lines = list(store.pending_effects()), list(store.timeline("run-1"))
    store.run_for_key("key", "run-1")
    store.close()
    again = open_store(database.url)
    assert again.load("run-1") == stored
    assert list(again.pending_effects()) == effects
    assert list(again.timeline("run-1")) == lines
    assert again.run_for_key("key", "other") == "run-1"
    assert again.open(new_incident("run-2")).incident.epoch > stored.incident.epoch
    again.close()


@both
def test_two_processes_change_one_run_and_nothing_is_lost(database: Database) -> None:
    store = open_store(database.url)
    begin(store)
    lines = len(store.timeline("run-1"))
    processes = [writer(database, 25, name) for name in ("one", "two")]
    for process in processes:
        go(process)
    count_up(store, "run-1", 10, "here")
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    stored = store.load("run-1")
    assert stored is not None
    assert stored.version == 2 + 60
    assert len({each.text for each in store.timeline("run-1")[lines:]}) == 60
    store.close()


@both
def test_kill_9_loses_nothing_that_was_answered(database: Database) -> None:
    store = open_store(database.url)
    begin(store)
    lines = len(store.timeline("run-1"))
    for death in range(3):
        before = len(store.timeline("run-1")) - lines
        process = writer(database, 10_000, f"life {death}")
        go(process)
        assert process.stdout is not None
        for _ in range(7):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate(timeout=60)
        answered = 7 + len(rest.splitlines())
        stored = store.load("run-1")
        assert stored is not None
        told = len(store.timeline("run-1")) - lines
        # Whole transactions only, all the answered ones, and at most one that was not.
        assert stored.version == 2 + told
        assert answered <= told - before <= answered + 1
    store.close()


@both
def test_a_new_database_may_be_opened_by_several_at_once(database: Database) -> None:
    with ThreadPoolExecutor(8) as pool:
        stores = list(pool.map(open_store, [database.url] * 8))
    epochs = [each.open(new_incident(f"r{n}")).incident.epoch for n, each in enumerate(stores)]
    assert epochs == list(range(1, 9))
    for each in stores:
        each.close()


@both
def test_a_database_of_a_newer_version_is_refused_untouched(database: Database) -> None:
    open_store(database.url).close()
    engine = plain_engine(database)
    with engine.begin() as connection:
        connection.execute(sa.update(VERSIONS).values(version_num="9999"))
    with pytest.raises(StoreRefused, match="newer AutoBot DR"):
        open_store(database.url)
    with engine.connect() as connection:
        versions = connection.execute(sa.select(VERSIONS.c.version_num)).scalars().all()
    assert versions == ["9999"]
    engine.dispose()


@both
def test_a_database_of_something_else_is_refused_untouched(database: Database) -> None:
    engine = plain_engine(database)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE shopping (item TEXT)"))
    with pytest.raises(StoreRefused, match=r"holds tables of something else \(shopping"):
        open_store(database.url)
    assert sa.inspect(engine).get_table_names() == ["shopping"]
    engine.dispose()


@both
def test_the_migrations_make_the_tables_that_the_statements_use(database: Database) -> None:
    open_store(database.url).close()
    engine = plain_engine(database)
    with engine.connect() as connection:
        options = {"version_table": VERSION_TABLE, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, METADATA) == []
    engine.dispose()


def test_a_file_that_is_no_database_is_refused_untouched(tmp_path: Path) -> None:
    file = tmp_path / "store.db"
    file.write_text("the shopping list\n" * 100)
    with pytest.raises(StoreRefused, match="is not a database"):
        open_store(f"sqlite:///{file}")
    assert file.read_text() == "the shopping list\n" * 100


def test_a_place_that_cannot_be_reached_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be reached") as no_folder:
        open_store(f"sqlite:///{tmp_path}/missing/store.db")
    assert "missing/store.db" in str(no_folder.value)
    with pytest.raises(StoreUnavailable, match="cannot be reached") as no_server:
        open_store(f"postgresql://dr:hunter2@/none?host={tmp_path}")
    assert "hunter2" not in str(no_server.value)


@pytest.mark.parametrize(
    "url", ["", "store.db", "sqlite://", "sqlite:///:memory:", "mysql://dr:hunter2@db/x", "x://"]
)
def test_other_urls_are_refused_with_what_would_do(url: str) -> None:
    with pytest.raises(StoreRefused, match=r"sqlite:////path/to/store\.db") as refused:
        open_store(url)
    assert "hunter2" not in str(refused.value)


def test_sqlite_is_told_to_survive_a_power_loss(tmp_path: Path) -> None:
    engine = engine_for(f"sqlite:///{tmp_path}/store.db")
    with engine.connect() as connection:
        said = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert said == {
        "journal_mode": "wal",
        "synchronous": 2,  # FULL
        "foreign_keys": 1,
        "busy_timeout": BUSY_SECONDS * 1000,
    }
    engine.dispose()


def test_a_lost_server_connection_is_said_and_trying_again_helps(postgres: Server) -> None:
    name = postgres.new_database()
    store: Store = open_store(postgres.url(name))
    _, stored = begin(store)
    with postgres.connect() as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
        )
    with pytest.raises(StoreUnavailable, match="did not answer"):
        store.load("run-1")
    assert store.load("run-1") == stored
    store.close()
