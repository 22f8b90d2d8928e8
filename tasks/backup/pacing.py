"""Moving bytes no faster than is wanted, and saying how many: for processes of their own.

What lives here: the brake, the words on standard output that tell of progress, and the way out
when the process is asked to end. What must not: what is moved. Whoever started the process reads
the words (`heard`), so that they are written and read in one place.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable
from typing import IO

from tasks.headway import Moved, Tell

SAY_SECONDS = 0.5


class Brake:
    """Sleeps so that no more than so many bytes a second pass; 0 lets all pass."""

    def __init__(
        self,
        bytes_per_s: float,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate, self._now, self._sleep = bytes_per_s, now, sleep
        self._free_at = now()

    def passed(self, count: int) -> None:
        """After so many bytes. What was not used in a second is not saved up for later ones."""
        if self._rate <= 0:
            return
        now = self._now()
        self._free_at = max(self._free_at, now - 1.0) + count / self._rate
        if self._free_at > now:
            self._sleep(self._free_at - now)


class Sayer:
    """Says now and then how many bytes have moved, one line of JSON each."""

    def __init__(self, total: int = 0, out: IO[str] | None = None) -> None:
        self.total, self._out = total, out or sys.stdout
        self._said_at = time.monotonic()

    def moved(self, done: int) -> None:
        if time.monotonic() - self._said_at >= SAY_SECONDS:
            self._said_at = time.monotonic()
            print(json.dumps({"done": done, "total": self.total}), file=self._out, flush=True)


def heard(what: str, tell: Tell) -> Callable[[bytes], None]:
    """Takes such a process's lines; those that are no progress are passed over."""

    def take(line: bytes) -> None:
        try:
            said = json.loads(line)
            tell.moved(Moved(what, int(said["done"]), int(said["total"])))
        except (ValueError, KeyError, TypeError):
            return

    return take


def end_when_asked() -> None:
    """SIGTERM ends as an exception does, so that what was begun is put away."""

    def end(_number: int, _frame: object) -> None:
        raise SystemExit(143)

    signal.signal(signal.SIGTERM, end)
