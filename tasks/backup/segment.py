"""The open end of a captured history: adding what comes, sealing it, and finding it after a crash.

What lives here: the one file that is being written, and its place in the stream. What must not:
connections. Everything that is needed to go on is in the file itself; what a crash left
half written after the last cut is taken off, and the source sends it again.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from io import FileIO
from pathlib import Path

from tasks.backup.commandlog import CommandLog, NotALog, offset_line, stamp_line
from tasks.backup.history import (
    CHAIN,
    LOG_FOLDER,
    MANIFEST,
    DamagedHistory,
    Sealed,
    aof_manifest,
    link_hash,
    read_about,
    read_chain,
    segment_name,
    segments,
    sha256_of,
    write_durably,
)
from tasks.backup.link import CHUNK, packed


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
        file = path.open("x+b", buffering=0)
        os.fchmod(file.fileno(), 0o600)
        segment = cls(folder, number, file, CommandLog())
        segment.add(head(now, database, replid, offset))
        segment.sync()
        # Listed only when it is there and says where it begins: Redis refuses a list with a gap.
        write_durably(folder / LOG_FOLDER / MANIFEST, aof_manifest(number))
        return segment

    @classmethod
    def reopened(cls, folder: Path, now: float) -> Segment:
        """The last one, without what a crash left half written."""
        log_folder = folder / LOG_FOLDER
        number = segments(folder)
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
        first_stamp, from_offset = head_of(path)
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


def head(stamp: int, database: int, replid: str, offset: int) -> bytes:
    """What each segment begins with: it can be loaded, and gone on with, without those before."""
    return stamp_line(stamp) + packed(("SELECT", str(database))) + offset_line(replid, offset)


def head_of(path: Path) -> tuple[int, int]:
    """The first time in a segment, and the offset where its commands begin."""
    log = CommandLog()
    with path.open("rb") as file:
        first = file.readline()
        log.feed(first)
        stamp = log.stamp or 0
        while not log.replid and (line := file.readline()):
            log.feed(line)
    return stamp, log.offset
