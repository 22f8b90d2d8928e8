"""`state`: back up and restore what the coordinator itself is, without any coordinator.

What lives here: these commands. What must not: the copying (orchestrator/statebackup.py).
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from orchestrator.commands import home
from orchestrator.commands.ending import Exit, Stop, json_option, print_json, tell
from orchestrator.settings import Settings


@click.group()
def state() -> None:
    """The coordinator's own state: backup, restore. Needs no coordinator."""


@state.command()
@click.argument("into", type=click.Path(path_type=Path, file_okay=False))
@json_option
def backup(into: Path, as_json: bool) -> None:
    """Copy the store, fleet.yaml, runbooks and public keys, and prove the copy.

    The copy is a new folder in INTO. A coordinator may go on meanwhile. Private keys and the API
    token are not in it.
    """
    from orchestrator import statebackup

    with _told():
        taken = statebackup.take(home.settings(), into.resolve(), time.time())
    folder = into.resolve() / taken.id
    if as_json:
        print_json({"folder": str(folder), **asdict(taken)})
    else:
        click.echo(f"{folder}: {sum(taken.rows.values())} rows, {taken.size_bytes} bytes")
        click.echo(f"left out, keep them elsewhere: {', '.join(taken.left_out)}")
    if taken.reason:
        raise Stop(Exit.FAILED, f"{folder} is no backup: {taken.reason}")
    if not as_json:
        click.echo("proved: opened, checked, and counted")


@state.command()
@click.argument("backup", type=click.Path(path_type=Path, exists=True))
@json_option
def restore(backup: Path, as_json: bool) -> None:
    """Put a backup's store and missing files where the settings say.

    BACKUP is its folder, or the store.db in it. It is looked through first. What is there is
    renamed, never overwritten; files that are there stay. Runs that were going on when the backup
    was taken are closed: what became of them is not known.
    """
    from orchestrator import statebackup

    settings, folder = home.settings(), _folder(backup)
    with _told(), _no_coordinator(settings):
        known = statebackup.sound(folder)
        url = settings.store_url.get_secret_value()
        closed, renamed = statebackup.put_back_store(folder, url, time.time())
        written, differing = statebackup.put_back_files(folder, settings)
    found: dict[str, Any] = {
        "restored": known.id,
        "renamed": [str(each) for each in renamed],
        "written": [str(each) for each in written],
        "differing": [str(each) for each in differing],
        "closed_runs": list(closed),
        "left_out": list(known.left_out),
    }
    if as_json:
        print_json(found)
    else:
        _show(found, sum(known.rows.values()))


def _show(found: dict[str, Any], rows: int) -> None:
    click.echo(f"restored {found['restored']}: {rows} rows")
    for verb in ("renamed", "written"):
        for each in found[verb]:
            click.echo(f"{verb} {each}")
    for each in found["differing"]:
        tell(f"{each} is there and differs from the backup's; it was left as it is")
    for each in found["closed_runs"]:
        tell(f"run {each} was going on then; it is closed, look what became of it")
    click.echo(f"not in a backup, put them there if they are missing: {_names(found['left_out'])}")
    click.echo("then start it: autobot-dr up")


def _names(several: list[str]) -> str:
    return ", ".join(several)


def _folder(given: Path) -> Path:
    return given.resolve() if given.is_dir() else given.resolve().parent


@contextmanager
def _told() -> Iterator[None]:
    """Every way in which it can fail, as a sentence."""
    import sqlalchemy as sa

    from orchestrator.ports import StoreUnavailable
    from orchestrator.statebackup import NotRestored
    from orchestrator.store import StoreRefused
    from tasks.backup.state import NotAState

    try:
        yield
    except (NotRestored, NotAState, StoreRefused) as refused:
        raise Stop(Exit.FAULT, refused) from refused
    except StoreUnavailable as away:
        raise Stop(Exit.UNREACHABLE, away) from away
    except sa.exc.DBAPIError as away:
        raise Stop(Exit.UNREACHABLE, f"the store could not be copied: {away.orig}") from away
    except OSError as error:
        raise Stop(Exit.FAULT, f"{error.filename}: {error.strerror}; nothing is lost") from error


@contextmanager
def _no_coordinator(settings: Settings) -> Iterator[None]:
    """The lock is the coordinator's own, so that none begins in the middle either."""
    settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (settings.state / "coordinator.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Stop(
                Exit.FAULT,
                f"a coordinator runs with {settings.state}; end it first "
                "(systemctl stop autobot-dr, or Ctrl-C where `up` runs)",
            ) from None
        yield
