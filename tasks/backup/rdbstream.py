"""The first part of a replication stream: the dump, as a primary sends it. Pure.

What lives here: where the dump begins and ends, both ways in which a server marks that, and
what its first and last bytes say. What must not: connections and files. A dump is whole only
when its size or its end mark was seen; a closed connection is never an end.
"""

from __future__ import annotations

from dataclasses import dataclass

MARK_SIZE = 40
#: The end-of-file opcode, then the checksum, eight bytes, all zero when there is none.
TRAILER_SIZE = 9
_END_OF_FILE = 0xFF


class NotADump(ValueError):
    """The server's bytes are no dump, or not the one it announced."""


class Transfer:
    """Takes the announcement, then the bytes; gives the dump's bytes and what follows them."""

    def __init__(self, announcement: bytes) -> None:
        """`announcement` is the line `$SIZE` or `$EOF:MARK`."""
        self.received = 0
        self.complete = False
        self.size: int | None = None
        self._mark, self._held = b"", b""
        if announcement.startswith(b"$EOF:") and len(announcement) == len(b"$EOF:") + MARK_SIZE:
            self._mark = announcement[len(b"$EOF:") :]
        elif announcement[:1] == b"$" and announcement[1:].isdigit():
            self.size = int(announcement[1:])
            self.complete = not self.size
        else:
            raise NotADump(f"a dump was expected, and the server said {announcement[:80]!r}")

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """The dump's bytes in this, and what comes after the dump."""
        if self.size is not None:
            taken = data[: self.size - self.received]
            self.received += len(taken)
            self.complete = self.received == self.size
            return taken, data[len(taken) :]
        data = self._held + data
        found = data.find(self._mark)
        if found >= 0:
            self.complete, self._held = True, b""
            self.received += found
            return data[:found], data[found + MARK_SIZE :]
        # What may be the beginning of the mark waits for the next bytes.
        given, self._held = data[: 1 - MARK_SIZE], data[1 - MARK_SIZE :]
        self.received += len(given)
        return given, b""


@dataclass(frozen=True, slots=True)
class Ends:
    """What the first and last bytes of a dump say."""

    version: int  #: of the format
    checksummed: bool  #: written without a checksum, a damaged dump would load silently


class EndsKeeper:
    """Keeps the first and last bytes of a dump that passes by."""

    def __init__(self) -> None:
        self._first, self._last = b"", b""

    def feed(self, data: bytes) -> None:
        if len(self._first) < TRAILER_SIZE:
            self._first = (self._first + data[:TRAILER_SIZE])[:TRAILER_SIZE]
        self._last = (self._last + data[-TRAILER_SIZE:])[-TRAILER_SIZE:]

    def ends(self) -> Ends:
        """Raises NotADump when these bytes cannot be those of a whole dump."""
        if not self._first:
            raise NotADump("the dump is empty")
        if self._first[:5] != b"REDIS" or not self._first[5:9].isdigit():
            raise NotADump(f"a dump begins with REDIS and its version, not {self._first!r}")
        if len(self._last) < TRAILER_SIZE or self._last[0] != _END_OF_FILE:
            raise NotADump("the dump does not end as a whole one does: it is cut off")
        return Ends(int(self._first[5:9]), self._last[1:] != bytes(8))
