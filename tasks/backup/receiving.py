"""Receiving a dump over replication: the opening words of a replica, and the file it goes into.

What lives here: asking for the stream, and writing its first part so that a file under its name
is a whole dump. What must not: what is done with it. A dump taken so costs the source a fork
and no disk, and cannot make it stop accepting writes, as a failed BGSAVE of its own would.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tasks.backup.link import CHUNK, Link, LinkFault, LinkRefused
from tasks.backup.rdbstream import EndsKeeper, Transfer
from tasks.resp import ErrorReply

#: A primary says something every 10 s, also while it prepares a dump.
SILENCE_SECONDS = 60.0
_RIGHTS = ("NOAUTH", "NOPERM", "WRONGPASS")


@dataclass(frozen=True, slots=True)
class Continues:
    """The stream goes on where we left it; `replid` may be a new one after a failover."""

    replid: str


@dataclass(frozen=True, slots=True)
class Full:
    """First a dump, then the stream from `offset` on."""

    replid: str
    offset: int


@dataclass(frozen=True, slots=True)
class Written:
    """A dump that is whole, and on the disk."""

    bytes: int
    sha256: str
    rdb_version: int
    checksummed: bool


def open_stream(link: Link, replid: str = "?", offset: int = -2) -> Continues | Full:
    """Become a replica that wants what follows `offset`, or everything when none is given."""
    _refuse_disk(link)
    for said in link.ask_all([("REPLCONF", "capa", "eof", "capa", "psync2")]):
        if isinstance(said, ErrorReply):
            raise _no(link, said.text)
    link.socket.settimeout(SILENCE_SECONDS)
    link.send("PSYNC", replid, str(offset + 1))
    words = _next_line(link).split()
    if words[0] == b"+CONTINUE":
        return Continues(words[1].decode() if len(words) > 1 else replid)
    if words[0] == b"+FULLRESYNC" and len(words) == 3:
        return Full(words[1].decode(), int(words[2]))
    raise _no(link, b" ".join(words).decode(errors="replace").lstrip("-"))


def receive(
    link: Link, write: Callable[[bytes], None], *, go_on: Callable[[], bool] = lambda: True
) -> bytes:
    """Take the whole dump; answers with what came after it."""
    announcement = _next_line(link)
    if announcement[:1] == b"-":
        raise _no(link, announcement[1:].decode(errors="replace"))
    transfer, rest = Transfer(announcement), b""
    while not transfer.complete:
        if not go_on():
            raise LinkFault("receiving was ended from here before the dump was whole")
        try:
            data = link.socket.recv(CHUNK)
        except OSError as error:
            raise LinkFault(f"{link.server.name}: {error.strerror or error}") from error
        if not data:
            raise LinkFault(
                f"{link.server.name} closed the connection after {transfer.received} bytes, "
                "before the dump was whole"
            )
        taken, rest = transfer.feed(data)
        write(taken)
    return rest


def _next_line(link: Link) -> bytes:
    """The next line that says something: empty ones are signs of life."""
    while not (line := link.line()):
        continue
    return line


def _refuse_disk(link: Link) -> None:
    said = link.ask("CONFIG", "GET", "repl-diskless-sync")
    if isinstance(said, list) and said[1:] == [b"no"]:
        raise LinkRefused(
            f"{link.server.name} would first save the dump on its own disk, and stop accepting "
            "writes if that fails: CONFIG SET repl-diskless-sync yes there"
        )


def _no(link: Link, said: str) -> LinkFault | LinkRefused:
    if said.startswith(_RIGHTS):
        return LinkRefused(
            f"{link.server.name} does not let us follow it: {said} (an ACL user needs +psync "
            "+replconf +ping, and +info +config|get for what is told about it)"
        )
    return LinkFault(f"{link.server.name} does not give its stream: {said}")


class DumpFile:
    """A dump being written to a file that did not exist before, readable by its owner only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes = 0
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._file = os.fdopen(handle, "wb", buffering=0)
        self._hash, self._ends = hashlib.sha256(), EndsKeeper()

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        self._hash.update(data)
        self._ends.feed(data)
        self.bytes += len(data)

    def finish(self) -> Written:
        """On the disk, and checked by its ends; raises NotADump."""
        os.fsync(self._file.fileno())
        self._file.close()
        ends = self._ends.ends()
        return Written(self.bytes, self._hash.hexdigest(), ends.version, ends.checksummed)

    def discard(self) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)
