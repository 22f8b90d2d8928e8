"""A host on which an operation can be ended from outside, at any command and in the middle of one.

What lives here: the wrapping of a Host. What must not: who wants it ended, and what became of
the operation; it sees a fault once, cleans up as after any other, and is then judged by a fresh
look. From where it says that it must go on, nobody ends it any more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn

from tasks.host import OUTPUT_LIMIT, Host, HostFault, HttpReply, Ran
from tasks.pipes import GoesOn, OnLine, always
from tasks.trust import SYSTEM_CAS, Trust

SLICE_SECONDS = 0.5  #: of a sleep, between two looks at whether it is to end


class Ended(HostFault):
    """Whoever ordered this wants it ended; what ran was ended, and what it had begun put away."""


class EndableHost:
    """A Host whose commands raise Ended as soon as `why` gives a reason.

    Once, and not the short questions: where a server's silence is an answer, this must not be
    taken for one. What comes afterwards is putting away, which nobody waits in: a wait always ends.
    """

    def __init__(self, host: Host, why: Callable[[], str]) -> None:
        self._host, self._why = host, why
        self._ended, self._kept_on = "", False

    def keep_on(self) -> None:
        self._demand()
        self._kept_on = True

    def run(
        self,
        argv: Sequence[str],
        *,
        seconds: float,
        stdin: bytes = b"",
        user: str = "",
        on_line: OnLine | None = None,
        goes_on: GoesOn = always,
    ) -> Ran:
        self._demand()
        # What puts away comes after the end, and is not ended.
        afterwards = bool(self._ended)
        ran = self._host.run(
            argv,
            seconds=seconds,
            stdin=stdin,
            user=user,
            on_line=on_line,
            goes_on=lambda: goes_on() and (afterwards or not self._reason()),
        )
        if ran.exit_code is None and not afterwards and (reason := self._reason()):
            self._end(reason)
        return ran

    def read(self, path: str, *, last: int = OUTPUT_LIMIT) -> str | None:
        return self._host.read(path, last=last)

    def write(self, path: str, content: bytes, *, mode: int = 0o644) -> None:
        self._host.write(path, content, mode=mode)

    def http(
        self,
        method: str,
        url: str,
        *,
        seconds: float,
        body: bytes = b"",
        on_line: OnLine | None = None,
        trust: Trust = SYSTEM_CAS,
    ) -> HttpReply:
        def heard(line: bytes) -> None:
            self._demand()
            if on_line:
                on_line(line)

        streamed = heard if on_line else None
        return self._host.http(
            method, url, seconds=seconds, body=body, on_line=streamed, trust=trust
        )

    def tcp(
        self,
        address: str,
        port: int,
        *,
        seconds: float,
        send: bytes = b"",
        complete: Callable[[bytes], bool] = lambda _: True,
        trust: Trust | None = None,
    ) -> bytes:
        return self._host.tcp(
            address, port, seconds=seconds, send=send, complete=complete, trust=trust
        )

    def now(self) -> float:
        return self._host.now()

    def sleep(self, seconds: float) -> None:
        while seconds > 0:
            if reason := self._reason():
                self._end(reason)
            self._host.sleep(min(seconds, SLICE_SECONDS))
            seconds -= SLICE_SECONDS

    def _reason(self) -> str:
        return "" if self._kept_on else self._ended or self._why()

    def _demand(self) -> None:
        if not self._ended and (reason := self._reason()):
            self._end(reason)

    def _end(self, reason: str) -> NoReturn:
        self._ended = reason
        raise Ended(reason)
