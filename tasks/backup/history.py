"""A captured history on disk: one dump and every command since, as a stock append-only directory.

What lives here: the files, their order on disk, sealing, and finding the place to go on from.
What must not: connections. A history is a folder:

    history-TIME-REPLID/
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
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path

from tasks.backup.commandlog import CommandLog, NotALog, offset_line, stamp_line
from tasks.backup.link import CHUNK, packed

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


class DamagedHistory(Exception):
    """A history on disk is not what was written. Keep it, and start a new one beside it."""


def folder_name(began: str, replid: str) -> str:
    return f"history-{began}-{replid[:8]}"


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


def histories(root: Path) -> list[Path]:
    """The complete ones, oldest first."""
    return sorted(each for each in root.glob("history-*") if (each / ABOUT).exists())


def read_about(folder: Path) -> About:
    return About(**json.loads((folder / ABOUT).read_text()))


def read_chain(folder: Path) -> list[Sealed]:
    """The sealed segments; a last line that a crash cut off was not sealed."""
    path = folder / CHAIN
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [Sealed(**json.loads(line)) for line in lines if line.endswith("\n")]


def faults(folder: Path) -> Iterator[str]:
    """What differs between a history's files and their recorded hashes."""
    about, log = read_about(folder), folder / LOG_FOLDER
    if sha256_of(log / BASE) != about.base_sha256:
        yield f"{log / BASE} is not the dump that was received: its SHA-256 differs"
    before = about.base_sha256
    for each in read_chain(folder):
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


class Segment:
    """The open end of a history, to which commands are added."""

    def __init__(self, folder: Path, number: int, file: FileIO, log: CommandLog) -> None:
        self.folder, self.number, self.log = folder, number, log
        self._file = file

    @classmethod
    def new(
        cls, folder: Path, number: int, *, replid: str, offset: int, database: int, now: int
    ) -> Segment:
        """An empty one. It selects its database itself: each file is loaded from database 0."""
        path = folder / LOG_FOLDER / segment_name(number)
        file = path.open("xb", buffering=0)
        os.fchmod(file.fileno(), 0o600)
        segment = cls(folder, number, file, CommandLog())
        head = stamp_line(now) + packed(("SELECT", str(database))) + offset_line(replid, offset)
        segment.add(head)
        segment.sync()
        # Listed only when it is there and says where it begins: Redis refuses a list with a gap.
        write_durably(folder / LOG_FOLDER / MANIFEST, aof_manifest(number))
        return segment

    @classmethod
    def reopened(cls, folder: Path, now: float) -> Segment:
        """The last one, without what a crash left half written."""
        log_folder = folder / LOG_FOLDER
        number = (log_folder / MANIFEST).read_text().count(" type i\n")
        # One that was made and not yet listed holds nothing that was acknowledged.
        (log_folder / segment_name(number + 1)).unlink(missing_ok=True)
        if not number:
            about = read_about(folder)
            return cls.new(
                folder, 1, replid=about.replid, offset=about.offset, database=0, now=int(now)
            )
        path = log_folder / segment_name(number)
        file = path.open("r+b", buffering=0)
        segment = cls(folder, number, file, CommandLog())
        try:
            while data := file.read(CHUNK):
                segment.log.feed(data)
        except NotALog as damage:
            file.close()
            raise DamagedHistory(f"{path}: {damage}") from damage
        if not segment.log.replid:
            file.close()
            raise DamagedHistory(f"{path} does not say where it begins")
        segment.take_off_tail()
        if any(each.number == number for each in read_chain(folder)):
            file.close()
            return segment.next(int(now))
        return segment

    def next(self, now: int) -> Segment:
        """The one after this, which is sealed."""
        log = self.log
        return Segment.new(
            self.folder,
            self.number + 1,
            replid=log.replid,
            offset=log.offset,
            database=log.database,
            now=max(now, self.stamp),
        )

    def take_off_tail(self) -> bytes:
        """Take off and give back what was begun after the last cut."""
        self._file.seek(self.log.cut)
        tail = self._file.read(self.tail_size)
        self._file.truncate(self.log.cut)
        self._file.seek(self.log.cut)
        self.log.back_to_cut()
        return tail

    @property
    def size(self) -> int:
        return self.log.position

    @property
    def tail_size(self) -> int:
        return self.log.position - self.log.cut

    @property
    def stamp(self) -> int:
        return self.log.stamp or 0

    def add(self, data: bytes) -> None:
        """Hand to the system what came; `sync` takes it to the disk."""
        self._write(data)
        self.log.feed(data)

    def add_received(self, data: bytes, now: int) -> None:
        """Commands as they came, with the time before the first one of a new second."""
        # When the clock went back, the old time stays: who reads the times expects them to rise.
        line = stamp_line(now) if now > self.stamp else b""
        if line and self.log.at_cut:
            return self.add(line + data)
        before = self.log.position
        first_cut = self.log.feed(data)
        if not line or first_cut is None:
            return self._write(data)
        at = first_cut - before
        self.log.put_in(len(line), now)
        return self._write(data[:at] + line + data[at:])

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def sync(self) -> None:
        os.fdatasync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def seal(self) -> Sealed:
        """Close it for ever and add it to the chain. Only at a cut."""
        self.sync()
        path = self.folder / LOG_FOLDER / segment_name(self.number)
        known = read_chain(self.folder)
        before = known[-1].chain if known else read_about(self.folder).base_sha256
        first_stamp, from_offset = _head(path)
        digest = sha256_of(path)
        sealed = Sealed(
            self.number,
            self.size,
            digest,
            link_hash(before, digest),
            first_stamp,
            self.stamp,
            from_offset,
            self.log.offset,
        )
        lines = "".join(json.dumps(asdict(each)) + "\n" for each in [*known, sealed])
        write_durably(self.folder / CHAIN, lines)
        self.close()
        return sealed


def _head(path: Path) -> tuple[int, int]:
    """The first time in a segment, and the offset where its commands begin."""
    log = CommandLog()
    with path.open("rb") as file:
        first = file.readline()
        log.feed(first)
        stamp = log.stamp or 0
        while not log.replid and (line := file.readline()):
            log.feed(line)
    return stamp, log.offset
