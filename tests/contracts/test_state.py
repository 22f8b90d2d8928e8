"""A backup of the coordinator's state, from either database and into either."""

from __future__ import annotations

import fcntl
import hashlib
import json
import sqlite3
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from orchestrator.core.incident import Decision, State
from orchestrator.settings import Settings
from orchestrator.statebackup import NotRestored, put_back_files, put_back_store, sound, take
from orchestrator.store import open_store
from tasks.backup.state import NotAState
from tests.cli.conftest import AUTOBOT_DR, environment
from tests.contracts.databases import Database, begin, new_incident, note
from tests.contracts.postgres import Server

both = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
NOW = 1_795_000_000.0


def settings(home: Path, url: str) -> Settings:
    for folder in (home / "runbooks", home / "keys", home / "state"):
        folder.mkdir(parents=True, exist_ok=True)
    (home / "fleet.yaml").write_text("fleet: x\n")
    (home / "tokens.yaml").write_text("tokens: []\n")
    (home / "api.token").write_text("secret\n")
    (home / "runbooks" / "a.yaml").write_text("title: A\n")
    (home / "keys" / "coordinator.key").write_text("secret\n")
    (home / "keys" / "coordinator.pub").write_text("public\n")
    return Settings(home=home, store_url=SecretStr(url))


def a_history(url: str) -> None:
    """One run that is over, and one that goes on."""
    store = open_store(url)
    _, stored = begin(store, "over")
    ended = replace(stored.incident, state=State.RESOLVED)
    assert store.save(Decision(ended), stored.version)
    begin(store, "going")
    store.run_for_key("key", "over")
    store.close()


@both
def test_what_comes_back_is_what_was_there_and_nothing_goes_on(
    database: Database, tmp_path: Path
) -> None:
    home = settings(tmp_path / "home", database.url)
    a_history(database.url)
    taken = take(home, tmp_path / "vault", NOW)
    backup = tmp_path / "vault" / taken.id
    assert (taken.state, taken.reason) == ("verified", "")
    assert taken.rows["runs"] == 2
    assert taken.left_out == ("api.token", "keys/coordinator.key")
    everything = b"".join(e.read_bytes() for e in backup.rglob("*") if e.is_file())
    assert b"secret" not in everything

    was = open_store(database.url)
    before, lines = was.load("over"), list(was.timeline("over"))
    was.close()
    # Into SQLite, wherever it came from: a PostgreSQL server may be what is lost.
    anew = f"sqlite:///{tmp_path}/new/store.db"
    closed, renamed = put_back_store(backup, anew, NOW + 60)
    assert closed == ("going",)
    assert renamed == ()
    store = open_store(anew)
    assert store.unfinished() == []
    assert list(store.pending_effects()) == []
    assert (store.load("over"), list(store.timeline("over"))) == (before, lines)
    stored = store.load("going")
    assert stored is not None
    assert stored.incident.state is State.CLOSED
    assert "what became of this is not known" in store.timeline("going")[-1].text
    assert store.run_for_key("key", "other") == "over"
    assert store.lease.look().left_s < 0
    store.close()


def test_it_goes_into_an_empty_postgresql_that_then_counts_on(
    postgres: Server, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/home/state/store.db"
    home = settings(tmp_path / "home", url)
    a_history(url)
    backup = tmp_path / "vault" / take(home, tmp_path / "vault", NOW).id
    there = postgres.url(postgres.new_database())
    put_back_store(backup, there, NOW)
    store = open_store(there)
    assert len(store.runs()) == 2
    _, stored = begin(store, "next")
    assert store.save(note(stored, "more"), stored.version), "its own numbers do not collide"
    store.close()
    with pytest.raises(NotRestored, match="holds runs, and nothing is overwritten"):
        put_back_store(backup, there, NOW)


def test_what_is_there_is_renamed_and_files_that_are_there_stay(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/home/state/store.db"
    home = settings(tmp_path / "home", url)
    a_history(url)
    backup = tmp_path / "vault" / take(home, tmp_path / "vault", NOW).id
    later = open_store(url)
    later.open(new_incident("later"))
    # Not closed: what a killed process leaves beside the file belongs to it.
    _, renamed = put_back_store(backup, url, NOW)
    assert [each.name.partition(".before-")[0] for each in renamed] == ["store.db"] * len(renamed)
    later.close()
    kept = open_store(f"sqlite:///{renamed[-1]}")
    assert kept.load("later") is not None
    kept.close()
    (home.runbooks / "a.yaml").write_text("title: Changed since\n")
    (home.keys / "coordinator.pub").unlink()
    written, differing = put_back_files(backup, home)
    assert written == [home.keys / "coordinator.pub"]
    assert differing == [home.runbooks / "a.yaml"]
    assert home.runbooks.joinpath("a.yaml").read_text() == "title: Changed since\n"


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("a bit", "store.db is not what was copied"),
        ("a row", "runs has 1 rows, and had 2"),
        ("a file", "files/fleet.yaml is missing"),
        ("the manifest", "is not a manifest of a state"),
        ("all of it", "No such file"),
    ],
)
def test_a_backup_that_is_not_what_it_was_is_not_put_back(
    tmp_path: Path, harm: str, said: str
) -> None:
    url = f"sqlite:///{tmp_path}/home/state/store.db"
    home = settings(tmp_path / "home", url)
    a_history(url)
    backup = tmp_path / "vault" / take(home, tmp_path / "vault", NOW).id
    store, manifest = backup / "store.db", backup / "manifest.json"
    match harm:
        case "a bit":
            content = bytearray(store.read_bytes())
            content[len(content) // 2] ^= 1
            store.write_bytes(content)
        case "a row":
            forget_a_run(store, manifest)
        case "a file":
            (backup / "files" / "fleet.yaml").unlink()
        case "the manifest":
            manifest.write_text("{")
        case _:
            manifest.unlink()
    with pytest.raises(NotRestored, match=said):
        sound(backup)


def forget_a_run(store: Path, manifest: Path) -> None:
    """By somebody who also makes the sums fit."""
    with sqlite3.connect(store) as db:
        db.executescript(
            "DELETE FROM effects WHERE run = 'going'; DELETE FROM steps WHERE run = 'going';"
            "DELETE FROM timeline WHERE run = 'going'; DELETE FROM runs WHERE id = 'going';"
        )
    db.close()
    said = json.loads(manifest.read_text())
    said["files"]["store.db"] = hashlib.sha256(store.read_bytes()).hexdigest()
    said["rows"] |= {"effects": 1, "steps": 1, "timeline": 3}
    manifest.write_text(json.dumps(said))


def test_a_store_that_is_not_there_gives_no_backup(tmp_path: Path) -> None:
    home = settings(tmp_path / "home", f"sqlite:///{tmp_path}/none/store.db")
    with pytest.raises(NotAState, match="there is no store at"):
        take(home, tmp_path / "vault", NOW)
    assert not [each for each in (tmp_path / "vault").iterdir() if each.name.startswith("state-")]


def test_the_command_refuses_while_a_coordinator_runs(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/home/state/store.db"
    home = settings(tmp_path / "home", url)
    a_history(url)
    told = environment(AUTOBOT_DR_HOME=str(home.home))

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [AUTOBOT_DR, "state", *words], env=told, capture_output=True, text=True, timeout=60
        )

    made = run("backup", "--json", str(tmp_path / "vault"))
    assert made.returncode == 0, made.stderr
    folder = json.loads(made.stdout)["folder"]
    with (home.state / "coordinator.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused = run("restore", folder)
    assert refused.returncode == 1
    assert "a coordinator runs with" in refused.stderr
    restored = run("restore", f"{folder}/store.db")
    assert restored.returncode == 0, restored.stderr
    assert "renamed" in restored.stdout
    assert "run going was going on then" in restored.stderr
