"""The second part of a replication stream: commands. Finds where a log of them may be cut. Pure.

What lives here: following the commands as they pass, in whatever pieces they come, and the lines
of our own that a log may hold between them. What must not: files and connections. Nothing of a
value is kept, so a value of any size costs no memory.

A log may be cut only between commands and outside a transaction. Redis skips lines that begin
with `#`: `#TS:` says when what follows came, `#OFF:` at which place of which stream it begins.
"""

from __future__ import annotations

#: The longest word that is looked at: MULTI, EXEC, SELECT and its number, REPLCONF, GETACK.
_LOOKED_AT = 16
_LONGEST_LINE = 1024
_COMMENT = ord("#")


class NotALog(ValueError):
    """These bytes are no commands as a primary or an append-only file has them."""


class CommandLog:
    """Follows a stream. All positions count the bytes fed since the beginning."""

    def __init__(self, *, replid: str = "", offset: int = 0, database: int = 0) -> None:
        self.position = 0  #: how much was fed
        self.cut = 0  #: the last place where the log may be cut
        self.database = database  #: which one is selected there
        self._selected = database
        self.replid = replid
        self.offset = offset  #: of the stream, at `cut`
        self.stamp: int | None = None  #: the last `#TS:` before `cut`
        self.commands = 0  #: seen before `cut`, transactions as one, without what changes nothing
        self.asked_for_ack = False
        self._held = b""
        self._words = 0  #: left in the present command
        self._skip = 0  #: bytes left of the present word, its line end included
        self._begun = 0  #: where the present command or transaction began
        self._first, self._name, self._in_transaction = False, b"", False

    @property
    def at_cut(self) -> bool:
        return self.cut == self.position

    def feed(self, data: bytes) -> int | None:
        """Follow these bytes. Answers with the first place within them where a cut may be made."""
        base = self.position - len(self._held)
        self.position += len(data)
        if self._held:
            data, self._held = self._held + data, b""
        first_cut: int | None = None
        at, size = 0, len(data)
        while at < size:
            if self._skip:
                step = min(self._skip, size - at)
                at += step
                self._skip -= step
                if not self._skip and self._word_ends(base + at) and first_cut is None:
                    first_cut = self.cut
                continue
            end = data.find(b"\r\n", at)
            if end < 0:
                self._hold(data[at:])
                break
            after = end + 2
            if self._words:
                length = _number(data, at, end, b"$")
                if length <= _LOOKED_AT and (self._first or self._name == b"SELECT"):
                    if after + length > size:
                        self._hold(data[at:])
                        break
                    self._word(data[after : after + length])
                self._first = False
                self._skip = length + 2
            elif data[at] == _COMMENT:
                self._annotation(data[at:end], base + at, base + after)
            else:
                self._words = _number(data, at, end, b"*")
                self._first, self._name = True, b""
            at = after
        return first_cut

    def put_in(self, length: int, stamp: int) -> None:
        """A `#TS:` line of that length was put in at a cut that has passed already."""
        self.position += length
        self.cut += length
        self._begun += length
        self.stamp = stamp

    def back_to_cut(self) -> None:
        """What came after the last cut was taken off."""
        self.position = self._begun = self.cut
        self._held, self._words, self._skip = b"", 0, 0
        self._first, self._name, self._in_transaction = False, b"", False
        self._selected = self.database

    def _hold(self, rest: bytes) -> None:
        if len(rest) > _LONGEST_LINE:
            raise NotALog(f"no command has a line that begins with {rest[:40]!r}")
        self._held = rest

    def _word(self, word: bytes) -> None:
        if self._first:
            self._name = word.upper()
        elif word.isdigit():
            self._selected = int(word)

    def _word_ends(self, at: int) -> bool:
        """Whether the log may be cut after this word."""
        self._words -= 1
        if self._words:
            return False
        name, self._name = self._name, b""
        if name == b"MULTI":
            self._in_transaction = True
        elif name == b"EXEC":
            self._in_transaction = False
        elif name == b"REPLCONF":
            self.asked_for_ack = True
        if self._in_transaction:
            return False
        if name not in (b"PING", b"REPLCONF", b"SELECT"):
            self.commands += 1
        self.database = self._selected
        self.offset += at - self._begun
        self.cut = self._begun = at
        return True

    def _annotation(self, line: bytes, begins: int, ends: int) -> None:
        if self._in_transaction or begins != self.cut:
            raise NotALog("a line of our own stands within a transaction")
        kind, _, value = line.partition(b":")
        if kind == b"#TS":
            self.stamp = int(value)
        elif kind == b"#OFF":
            replid, _, offset = value.partition(b":")
            self.replid, self.offset = replid.decode(), int(offset)
        self.cut = self._begun = ends


def stamp_line(at: int) -> bytes:
    return b"#TS:%d\r\n" % at


def offset_line(replid: str, offset: int) -> bytes:
    return b"#OFF:%s:%d\r\n" % (replid.encode(), offset)


def _number(data: bytes, at: int, end: int, kind: bytes) -> int:
    if data[at : at + 1] != kind or not (text := data[at + 1 : end]).isdigit():
        raise NotALog(f"{kind.decode()} and a number were expected, not {data[at:end][:40]!r}")
    return int(text)
