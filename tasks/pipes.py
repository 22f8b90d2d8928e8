"""What a running command says, heard while it runs, under one deadline.

What lives here: the loop over its pipes, and cutting what it says into lines. What must not:
starting and ending it (host.py). Of each output the end is kept, so a command may say any amount.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import selectors
import time
from collections.abc import Callable
from enum import Enum
from typing import IO

from tasks.exchange import OUTPUT_LIMIT

TURN_SECONDS = 0.2  #: between two looks at whether it is to go on
#: A longer line is no line; it is given away in parts.
LINE_LIMIT = 65536

OnLine = Callable[[bytes], None]  #: takes one line of output, without its end
GoesOn = Callable[[], bool]
Pipe = IO[bytes] | None


def always() -> bool:
    return True


class End(Enum):
    """Why nothing more is heard."""

    ENDED = "ended"
    LATE = "late"
    STOPPED = "stopped"


class Lines:
    """Cuts into lines; a carriage return ends one too, as progress meters use it."""

    def __init__(self, on_line: OnLine) -> None:
        self._on_line, self._kept = on_line, b""

    def feed(self, data: bytes) -> None:
        *lines, self._kept = re.split(rb"[\r\n]", self._kept + data)
        if len(self._kept) > LINE_LIMIT:
            lines, self._kept = [*lines, self._kept], b""
        for each in filter(None, lines):
            self._on_line(each)

    def close(self) -> None:
        self.feed(b"\n")


class Pipes:
    """A command's three pipes, from our side. What it was not given is None."""

    def __init__(self, given: Pipe, out: Pipe, err: Pipe) -> None:
        self._given, self._outputs = given, {"out": out, "err": err}
        self._said = {"out": bytearray(), "err": bytearray()}

    def said(self, name: str) -> bytes:
        return bytes(self._said[name])

    def hear(
        self,
        stdin: bytes,
        ends: float,
        *,
        on_line: OnLine = lambda _: None,
        goes_on: GoesOn = always,
    ) -> End:
        """Until both outputs are closed, `ends` by the monotonic clock, or it is not to go on."""
        lines, left = Lines(on_line), memoryview(stdin)
        with selectors.DefaultSelector() as ready:
            for name, pipe in self._outputs.items():
                if pipe:
                    ready.register(pipe, selectors.EVENT_READ, name)
            if self._given:
                ready.register(self._given, selectors.EVENT_WRITE, "in")
            while {"out", "err"} & {key.data for key in ready.get_map().values()}:
                if time.monotonic() >= ends:
                    return End.LATE
                if not goes_on():
                    return End.STOPPED
                turn = min(TURN_SECONDS, max(ends - time.monotonic(), 0.0))
                for key, _ in ready.select(turn):
                    if key.data == "in":
                        left = self._give(ready, key, left)
                    else:
                        self._take(ready, key, lines)
        lines.close()
        return End.ENDED

    def _give(
        self, ready: selectors.BaseSelector, key: selectors.SelectorKey, left: memoryview
    ) -> memoryview:
        try:
            left = left[os.write(key.fd, left[: select.PIPE_BUF]) :] if left else left
        except BrokenPipeError:
            # One that ends without reading its input; its exit code says the rest.
            left = memoryview(b"")
        if not left:
            ready.unregister(key.fileobj)
            _close(self._given)
            self._given = None
        return left

    def _take(
        self, ready: selectors.BaseSelector, key: selectors.SelectorKey, lines: Lines
    ) -> None:
        data = os.read(key.fd, 65536)
        if not data:
            ready.unregister(key.fileobj)
            return
        kept = self._said[key.data]
        kept += data
        del kept[:-OUTPUT_LIMIT]
        if key.data == "out":
            lines.feed(data)

    def close(self) -> None:
        for each in (self._given, *self._outputs.values()):
            _close(each)


def _close(pipe: Pipe) -> None:
    if pipe:
        with contextlib.suppress(BrokenPipeError):
            pipe.close()
