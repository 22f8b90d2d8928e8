"""A captured history on disk: one dump and every command since, as a stock append-only directory.

What lives here: the folder, its files' names, its chain of hashes, and checking them. What must
not: connections, and its open end (segment.py). A history is a folder:

    history-NUMBER-TIME-REPLID/
      history.json                   whose it is, where it begins, its base's size and hash
      chain.jsonl                    one line for each sealed segment, holding the hash of the last
      appendonlydir/                 what plain `redis-server --appendonly yes` loads
        appendonly.aof.1.base.rdb    the dump
        appendonly.aof.N.incr.aof    segment N: commands as they came, with `#TS:` lines
        appendonly.aof.manifest

The last segment is open. It says itself at which offset of which stream it begins, so the place
to go on from is read from what is on disk and nowhere else: no second file can contradict it.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

LOG_FOLDER, NAME = "appendonlydir", "appendonly.aof"
BASE, MANIFEST = f"{NAME}.1.base.rdb", f"{NAME}.manifest"
ABOUT, CHAIN = "history.json", "chain.jsonl"
INCOMING = "incoming-"


@dataclass(frozen=True, slots=True)
class About:
    """Where a history begins. `began_at` is a Unix time, of the moment the dump was asked for."""

    source: str
    began_at: float
    replid: str
    offset: int
    base_bytes: int
    base_sha256: str
    checksummed: bool
    redis_version: str = ""  #: of the source, when it said so
    module_files: tuple[str, ...] = ()  #: what the source had loaded, with the arguments


@dataclass(frozen=True, slots=True)
class Sealed:
    """One segment that will not change any more. `chain` covers all before it as well."""

    number: int
    bytes: int
    sha256: str
    chain: str
    first_stamp: int
    last_stamp: int
    from_offset: int
    to_offset: int


@dataclass(frozen=True, slots=True)
class Range:
    """A history, and the first and the last second that it has for certain."""

    history: str
    begins: int
    ends: int


class DamagedHistory(Exception):
    """A history on disk is not what was written. Keep it, and start a new one beside it."""


def next_name(root: Path, began_at: float, replid: str) -> str:
    """Numbered, because clocks jump; the number alone says which one is the newest."""
    known = histories(root)
    number = int(known[-1].name.split("-")[1]) + 1 if known else 1
    began = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(began_at))
    return f"history-{number:06d}-{began}-{replid[:8]}"


def segment_name(number: int) -> str:
    return f"{NAME}.{number}.incr.aof"


def aof_manifest(segments: int) -> str:
    """Redis's own list of the files that make up an append-only directory."""
    lines = [f"file {BASE} seq 1 type b\n"]
    lines += [f"file {segment_name(n)} seq {n} type i\n" for n in range(1, segments + 1)]
    return "".join(lines)


def link_hash(before: str, about: str) -> str:
    """The chain's next hash: over the one before and this segment's own."""
    return hashlib.sha256(f"{before}{about}".encode()).hexdigest()


def complete(folder: Path, about: About, *, segments: int = 0) -> None:
    """The base is whole: say so, as the last thing that makes this a history."""
    write_durably(folder / LOG_FOLDER / MANIFEST, aof_manifest(segments))
    write_durably(folder / ABOUT, json.dumps(asdict(about), indent=1) + "\n")


def histories(root: Path) -> list[Path]:
    """The complete ones, oldest first."""
    return sorted(each for each in root.glob("history-*") if (each / ABOUT).exists())


def read_about(folder: Path) -> About:
    said = json.loads((folder / ABOUT).read_text())
    return About(**{**said, "module_files": tuple(said.get("module_files", ()))})


def segments(folder: Path) -> int:
    """How many there are, the open one included."""
    return (folder / LOG_FOLDER / MANIFEST).read_text().count(" type i\n")


def first_stamp(folder: Path, number: int) -> int:
    """The second with which a segment begins."""
    with (folder / LOG_FOLDER / segment_name(number)).open("rb") as file:
        kind, _, stamp = file.readline().partition(b":")
    if kind != b"#TS":
        raise DamagedHistory(f"segment {number} of {folder} does not begin with its time")
    return int(stamp)


def covered(folder: Path) -> Range:
    """From the first second of its log to that of its last sealed command."""
    about, chain = read_about(folder), read_chain(folder)
    began = int(about.began_at)
    begins = first_stamp(folder, 1) if segments(folder) else began
    return Range(folder.name, begins, max([begins, *(each.last_stamp for each in chain[-1:])]))


def read_chain(folder: Path) -> list[Sealed]:
    """The sealed segments; a last line that a crash cut off was not sealed."""
    path = folder / CHAIN
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [Sealed(**json.loads(line)) for line in lines if line.endswith("\n")]


def faults(folder: Path, *, last: int | None = None) -> Iterator[str]:
    """What differs between a history's files, up to this segment, and their recorded hashes."""
    about, log = read_about(folder), folder / LOG_FOLDER
    if sha256_of(log / BASE) != about.base_sha256:
        yield f"{log / BASE} is not the dump that was received: its SHA-256 differs"
    before = about.base_sha256
    for each in read_chain(folder):
        if last is not None and each.number > last:
            return
        before = link_hash(before, each.sha256)
        path = log / segment_name(each.number)
        if each.chain != before:
            yield f"{folder / CHAIN}: the line of segment {each.number} does not follow the last"
        if not path.exists():
            yield f"{path} is missing"
        elif sha256_of(path) != each.sha256:
            yield f"{path} is not what was sealed: its SHA-256 differs"


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_durably(path: Path, text: str) -> None:
    """All of it or the old content, and on the disk when this returns."""
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("w") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
