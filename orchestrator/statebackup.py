"""A backup of what this coordinator is: its store and the files of its home. And putting it back.

What lives here: taking one and restoring one, without any coordinator running. What must not:
the proof (tasks/backup/state.py), and who orders it (core/statejobs.py).

Whichever database the store is in, a backup holds it as SQLite: it is checked in the same way
everywhere, and after the loss of a PostgreSQL server it is put back into either. Private keys and
the API token are left out: whoever reads a backup must not be able to give orders. They are in the
recovery kit, or made anew (`autobot-dr init`).
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa

from orchestrator.ports import StoreUnavailable
from orchestrator.settings import Settings
from orchestrator.settling import settle
from orchestrator.store import StoreRefused, open_store
from orchestrator.store.opening import engine_for
from orchestrator.store.tables import METADATA
from tasks.backup.state import (
    FILES,
    PART,
    PREFIX,
    STORE,
    NotAState,
    StateManifest,
    complaint,
    contents,
    prove,
    read,
    sums,
    write,
)

CHUNK = 1000  #: rows copied at once


class NotRestored(Exception):
    """The state was not put back, and why; what was there is as it was."""


def take(settings: Settings, into: Path, now: float) -> StateManifest:
    """A new folder in `into`, proved. Raises NotAState, StoreRefused or OSError."""
    into.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = f"{PREFIX}{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now))}"
    part = into / f"{PART}{name}"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700)
    copy_store(settings.store_url.get_secret_value(), part / STORE)
    left_out = _copy_files(settings, part / FILES)
    version, rows = contents(part / STORE)
    files = sums(part)
    size = sum(each.stat().st_size for each in part.rglob("*") if each.is_file())
    write(part, StateManifest(name, now, version, rows, files, left_out, size))
    prove(part, now)
    part.rename(into / name)
    return read(into / name)


def copy_store(url: str, to: Path) -> None:
    """One picture of it, while a coordinator goes on writing."""
    source = engine_for(url)
    if source.name == "sqlite":
        place = Path(str(source.url.database))
        if not place.exists():
            raise NotAState(f"there is no store at {place}")
        with closing(sqlite3.connect(place)) as here, closing(sqlite3.connect(to)) as there:
            here.backup(there)
    else:
        open_store(f"sqlite:///{to}").close()
        target = engine_for(f"sqlite:///{to}")
        _copy_rows(source.execution_options(isolation_level="REPEATABLE READ"), target)
    _one_file(to)


def _copy_rows(source: sa.Engine, target: sa.Engine) -> None:
    """Every table, into one that has none of its own."""
    with source.connect() as here, target.begin() as there:
        for table in METADATA.sorted_tables:
            there.execute(sa.delete(table))
            for rows in here.execute(sa.select(table)).mappings().partitions(CHUNK):
                there.execute(sa.insert(table), [dict(each) for each in rows])
        if target.name == "postgresql":
            _count_on(there)
    source.dispose()
    target.dispose()


def _count_on(connection: sa.Connection) -> None:
    """What PostgreSQL numbers by itself goes on after the highest that was copied."""
    for table in METADATA.sorted_tables:
        if "id" in table.c and isinstance(table.c.id.type, sa.Integer):
            sequence = sa.func.pg_get_serial_sequence(table.name, "id")
            highest = sa.select(sa.func.coalesce(sa.func.max(table.c.id), 0) + 1).scalar_subquery()
            connection.execute(sa.select(sa.func.setval(sequence, highest, False)))


def _copy_files(settings: Settings, into: Path) -> tuple[str, ...]:
    """Gives the names of those that are left out."""
    into.mkdir(mode=0o700)
    for each in (settings.fleet, settings.tokens):
        if each.exists():
            shutil.copy2(each, into / each.name)
    if settings.runbooks.is_dir():
        shutil.copytree(settings.runbooks, into / "runbooks")
    keys = into / "keys"
    keys.mkdir(mode=0o700)
    left_out = [settings.token_file.name]
    for each in sorted(settings.keys.glob("*")) if settings.keys.is_dir() else ():
        if each.suffix == ".pub":
            shutil.copy2(each, keys / each.name)
        else:
            left_out.append(f"keys/{each.name}")
    return tuple(left_out)


def sound(backup: Path) -> StateManifest:
    """The backup's manifest, once it was looked through. NotRestored says what is wrong with it."""
    try:
        known = read(backup)
    except NotAState as fault:
        raise NotRestored(f"{fault}; nothing was changed") from fault
    if reason := complaint(backup, known):
        raise NotRestored(f"{backup}: {reason}; nothing was changed, take another backup")
    return known


def put_back_store(backup: Path, url: str, now: float) -> tuple[tuple[str, ...], tuple[Path, ...]]:
    """The backup's store where the URL says. Gives the runs that were closed because nobody knows
    what became of them, and what was renamed for it.
    """
    target = engine_for(url)
    if target.name == "postgresql":
        return _into_empty(backup, url, target, now), ()
    place = Path(str(target.url.database))
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = place.with_name(f".{place.name}.part")
    closed = _prepare(backup, part, now)
    renamed = tuple(_put_aside(place, now))
    part.rename(place)
    _keep_names(place.parent)
    return closed, renamed


def _prepare(backup: Path, part: Path, now: float) -> tuple[str, ...]:
    """A copy of this version's, in which nothing goes on any more."""
    _remove(part)
    shutil.copyfile(backup / STORE, part)
    part.chmod(0o600)
    try:
        store = open_store(f"sqlite:///{part}")
        taken = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(read(backup).taken_at))
        closed = settle(store, taken, now)
        store.close()
    except (StoreRefused, StoreUnavailable) as refused:
        _remove(part)
        raise NotRestored(f"{refused}; nothing was changed") from refused
    _one_file(part)
    return tuple(closed)


def _one_file(store: Path) -> None:
    """It is copied, checked and kept more easily than three."""
    with closing(sqlite3.connect(store)) as there:
        there.execute("PRAGMA journal_mode=DELETE")


def _remove(store: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        store.with_name(f"{store.name}{ending}").unlink(missing_ok=True)


def _put_aside(place: Path, now: float) -> list[Path]:
    """With what SQLite keeps beside it, which belongs to it."""
    aside, renamed = place.with_name(f"{place.name}.before-{now:.0f}"), []
    for ending in ("-wal", "-shm", ""):
        old = place.with_name(f"{place.name}{ending}")
        if old.exists():
            new = aside.with_name(f"{aside.name}{ending}")
            if new.exists():
                raise NotRestored(f"{new} is there already; nothing is overwritten")
            old.rename(new)
            renamed.append(new)
    return renamed


def _keep_names(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _into_empty(backup: Path, url: str, target: sa.Engine, now: float) -> tuple[str, ...]:
    store = open_store(url)
    runs = store.runs(limit=1)
    store.close()
    if runs:
        shown = target.url.render_as_string(hide_password=True)
        raise NotRestored(
            f"{shown} holds runs, and nothing is overwritten; make an empty database and name it "
            "in AUTOBOT_DR_STORE_URL"
        )
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / STORE
        closed = _prepare(backup, part, now)
        _copy_rows(engine_for(f"sqlite:///{part}"), target)
    return closed


def put_back_files(backup: Path, settings: Settings) -> tuple[list[Path], list[Path]]:
    """Those that were missing are written; gives them, and those that are there and differ."""
    places = {
        FILES + "/" + settings.fleet.name: settings.fleet,
        FILES + "/" + settings.tokens.name: settings.tokens,
    }
    for folder, place in (("runbooks", settings.runbooks), ("keys", settings.keys)):
        for each in sorted((backup / FILES / folder).rglob("*")):
            if each.is_file():
                inner = each.relative_to(backup / FILES / folder)
                places[str(each.relative_to(backup))] = place / inner
    written, differing = [], []
    for name, place in places.items():
        kept = backup / name
        if not kept.exists():
            continue
        if not place.exists():
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.copy2(kept, place)
            written.append(place)
        elif place.read_bytes() != kept.read_bytes():
            differing.append(place)
    return written, differing
