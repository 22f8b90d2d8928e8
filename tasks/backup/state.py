"""A backup of the coordinator's own state: what is in its folder, and whether that is whole.

What lives here: the manifest, the proof, and a small program for whoever keeps such backups
(`python -m tasks.backup.state`). What must not: taking one and putting one back, which need the
coordinator's own code (orchestrator/statebackup.py), and any import but the standard library's.

A folder has store.db (SQLite, whichever database the store is in), files/ (fleet.yaml, runbooks,
public keys, token hashes) and manifest.json. It is proved when every file has its SHA-256, the
store opens, passes SQLite's own check, and has the version and the rows that were copied.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import sys
import time
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tasks.backup.manifest import State
from tasks.backup.retention import Dated, Keep, may_go

STORE, FILES, MANIFEST = "store.db", "files", "manifest.json"
PREFIX, PART, GOING = "state-", ".part-", ".going-"
VERSION_TABLE = "autobot_dr_version"


class NotAState(Exception):
    """This folder is no backup of a coordinator's state that can be read; take another one."""


@dataclass(frozen=True, slots=True)
class StateManifest:
    """Times are Unix seconds. `left_out` says what a restore has to get from elsewhere."""

    id: str
    taken_at: float
    store_version: str
    rows: dict[str, int]
    files: dict[str, str]  #: SHA-256 by name, the store's included
    left_out: tuple[str, ...]
    size_bytes: int
    state: str = State.TAKEN.value
    reason: str = ""
    verified_at: float | None = None
    kind: str = "state"


def read(folder: Path) -> StateManifest:
    try:
        said = json.loads((folder / MANIFEST).read_text())
        return StateManifest(**{**said, "left_out": tuple(said["left_out"])})
    except OSError as error:
        raise NotAState(f"{folder / MANIFEST}: {error.strerror}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise NotAState(f"{folder / MANIFEST} is not a manifest of a state: {error}") from error


def write(folder: Path, manifest: StateManifest) -> None:
    part = folder / f".{MANIFEST}"
    part.write_text(json.dumps(asdict(manifest), indent=2, sort_keys=True))
    part.replace(folder / MANIFEST)


def sums(folder: Path) -> dict[str, str]:
    """Of everything but the manifest."""
    found = sorted(each for each in folder.rglob("*") if each.is_file())
    names = {str(each.relative_to(folder)): each for each in found}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in names.items()
        if name != MANIFEST
    }


def contents(store: Path) -> tuple[str, dict[str, int]]:
    """Version and rows of each table. Raises NotAState where SQLite finds a fault."""
    try:
        with closing(sqlite3.connect(f"file:{store}?mode=ro&immutable=1", uri=True)) as db:
            if (said := db.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
                raise NotAState(f"{store}: SQLite finds that {said}")
            if broken := db.execute("PRAGMA foreign_key_check").fetchone():
                raise NotAState(f"{store}: a row of {broken[0]} belongs to nothing")
            version = db.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()[0]  # noqa: S608
            tables = (
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            )
            names = sorted(each for (each,) in db.execute(tables))
            counts = {n: db.execute(f'SELECT count(*) FROM "{n}"').fetchone()[0] for n in names}  # noqa: S608
            return str(version), counts
    except sqlite3.Error as error:
        raise NotAState(f"{store} is no store: {error}") from error


def prove(folder: Path, now: float) -> StateManifest:
    """Look at all of it, and write down what came of it."""
    known = read(folder)
    reason = complaint(folder, known)
    state = State.FAILED if reason else State.VERIFIED
    proved = replace(known, state=state.value, reason=reason, verified_at=None if reason else now)
    write(folder, proved)
    return proved


def complaint(folder: Path, known: StateManifest) -> str:
    """Why it is not what its manifest says; nothing when it is."""
    there = sums(folder)
    for name in sorted({*there, *known.files}):
        if there.get(name) != known.files.get(name):
            return f"{name} is not what was copied" if name in there else f"{name} is missing"
    try:
        version, rows = contents(folder / STORE)
    except NotAState as fault:
        return str(fault)
    if version != known.store_version:
        return f"the store has version {version}, and had {known.store_version}"
    for name in sorted({*rows, *known.rows}):
        if rows.get(name) != known.rows.get(name):
            return f"{name} has {rows.get(name)} rows, and had {known.rows.get(name)}"
    return ""


def point(folder: Path, known: StateManifest) -> dict[str, Any]:
    """For the coordinator's catalogue (orchestrator/core/restorepoints.py)."""
    return {
        "id": known.id,
        "folder": str(folder),
        "taken_at": known.taken_at,
        "covers_until": known.taken_at,
        "verified_at": known.verified_at,
        "state": known.state,
        "reason": known.reason,
        "size_bytes": known.size_bytes,
        "sha256": known.files.get(STORE, ""),
    }


def names(into: Path) -> list[str]:
    """By name, which is by time."""
    return sorted(e.name for e in into.glob(f"{PREFIX}*") if e.is_dir()) if into.is_dir() else []


def newest(into: Path) -> dict[str, Any]:
    """All that are there, and what is known of the newest."""
    found = names(into)
    if not found:
        return {"names": [], "point": None, "rows": 0}
    folder = into / found[-1]
    try:
        known = read(folder)
    except NotAState as fault:
        return {"names": found, "point": {"state": "failed", "reason": str(fault)}, "rows": 0}
    return {"names": found, "point": point(folder, known), "rows": sum(known.rows.values())}


def old(into: Path, keep: Keep, now: float) -> list[str]:
    """The names of those that need not be kept. What cannot be read stays."""
    known = []
    for name in names(into):
        try:
            found = read(into / name)
        except NotAState:
            continue
        known.append(Dated(name, found.taken_at, State(found.state)))
    return list(may_go(known, keep, now))


def prune(into: Path, keep: Keep, now: float) -> None:
    for name in old(into, keep, now):
        # A crash leaves nothing that looks like a backup.
        (into / name).rename(into / f"{GOING}{name}")
    for left in into.glob(f"{GOING}*"):
        shutil.rmtree(left)


def main(verb: str, folder: str, *more: str) -> dict[str, Any]:
    place = Path(folder)
    if verb == "newest":
        return newest(place)
    if verb in ("prove", "show"):
        known = prove(place, time.time()) if verb == "prove" else read(place)
        rows = sum(known.rows.values())
        return {"names": [place.name], "point": point(place, known), "rows": rows}
    within, daily, weekly, monthly = more
    keep = Keep(float(within), int(daily), int(weekly), int(monthly))
    if verb == "prune":
        prune(place, keep, time.time())
    return {"names": names(place), "may_go": old(place, keep, time.time())}


if __name__ == "__main__":
    try:
        print(json.dumps(main(*sys.argv[1:]), sort_keys=True))
    except (NotAState, OSError) as refused:
        raise SystemExit(str(refused)) from refused
