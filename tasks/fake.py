"""Hosts that are not there: one that answers from a script, and one that only writes down.

What lives here: `FakeHost` for tests and demonstrations, and `DryRunHost` with `commands`, from
which a plan shows what a step would do. What must not: any machine. Both name a question
in the same one line of text, so that a fixture and a plan read alike.
"""

# ruff: noqa: ARG002 - the port gives every question a deadline; nothing here takes time

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from tasks.contract import Json
from tasks.host import OUTPUT_LIMIT, HostFault, HttpReply, Ran
from tasks.operation import ActFailed, Operation, Tell, read_arguments
from tasks.pipes import GoesOn, OnLine, always
from tasks.trust import SYSTEM_CAS, Trust

T = TypeVar("T")


def said_run(argv: Sequence[str], stdin: bytes, user: str) -> str:
    line = shlex.join(argv)
    if user:
        line = f"{line} (as {user})"
    return f"{line} < {len(stdin)} bytes" if stdin else line


def said_write(path: str, content: bytes) -> str:
    return f"write {path} ({len(content)} bytes)"


def said_http(method: str, url: str, body: bytes, trust: Trust = SYSTEM_CAS) -> str:
    return f"{method} {url}{_said_trust(trust)} {body.decode(errors='replace')}".rstrip()


def said_tcp(address: str, port: int, send: bytes, trust: Trust | None = None) -> str:
    # Words on one line: a RESP command is easier read without its lengths and line ends.
    words = (word for word in send.decode(errors="replace").split() if word[:1] not in ("*", "$"))
    secure = "" if trust is None else f" over TLS{_said_trust(trust)}"
    return " ".join((f"tcp {address}:{port}{secure}", *words))


def _said_trust(trust: Trust) -> str:
    given = ("own CA" if trust.ca_pem else "", trust.pin_sha256 and f"pin {trust.pin_sha256[:8]}")
    said = ", ".join(each for each in given if each)
    return f" ({said})" if said else ""


class Deviation(AssertionError):
    """The host was asked for something other than its script says."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question in a script, and the answer to it."""

    asked: str  #: as the `said_…` functions put it; a write is answered with None
    answer: Ran | HttpReply | bytes | str | HostFault | None
    took: float = 0.0  #: seconds that pass on the host's clock meanwhile


class FakeHost:
    """Answers from a script, in its order, on its own clock; anything else is a Deviation."""

    def __init__(self, script: Iterable[Exchange], *, now: float = 0.0) -> None:
        self._script = list(script)
        self._now = now
        self.asked: list[str] = []

    def finish(self) -> None:
        """Complain about what the script still expects."""
        if self._script:
            raise Deviation(f"never asked: {self._script[0].asked!r} ({len(self._script)} left)")

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
        answer = self._answer(said_run(argv, stdin, user), Ran)
        if on_line:
            for line in answer.out.encode().splitlines():
                on_line(line)
        return answer

    def read(self, path: str, *, last: int = OUTPUT_LIMIT) -> str | None:
        text = self._take(f"read {path}")
        if text is not None and not isinstance(text, str):
            raise Deviation(f"reading {path} cannot be answered with {text!r}")
        return text and text[-last:]

    def write(self, path: str, content: bytes, *, mode: int = 0o644) -> None:
        self._take(said_write(path, content))

    def http(
        self,
        method: str,
        url: str,
        *,
        seconds: float,
        body: bytes = b"",
        on_line: Callable[[bytes], None] | None = None,
        trust: Trust = SYSTEM_CAS,
    ) -> HttpReply:
        answer = self._answer(said_http(method, url, body, trust), HttpReply)
        if on_line:
            for line in answer.body.splitlines(keepends=True):
                on_line(line)
        return answer

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
        return self._answer(said_tcp(address, port, send, trust), bytes)

    def now(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds

    def _answer(self, asked: str, kind: type[T]) -> T:
        answer = self._take(asked)
        if not isinstance(answer, kind):
            raise Deviation(f"{asked!r} cannot be answered with {answer!r}")
        return answer

    def _take(self, asked: str) -> object:
        if not self._script:
            raise Deviation(f"asked {asked!r}, and the script has ended")
        if asked != self._script[0].asked:
            raise Deviation(f"asked {asked!r}, and the script has {self._script[0].asked!r}")
        exchange = self._script.pop(0)
        self.asked.append(asked)
        self._now += exchange.took
        if isinstance(exchange.answer, HostFault):
            raise exchange.answer
        return exchange.answer


class DryRunHost:
    """Does nothing, answers that it went well and said nothing, and writes down."""

    def __init__(self) -> None:
        self.asked: list[str] = []

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
        self.asked.append(said_run(argv, stdin, user))
        return Ran(0, "", "")

    def read(self, path: str, *, last: int = OUTPUT_LIMIT) -> str | None:
        self.asked.append(f"read {path}")
        return f"<the content of {path}>"

    def write(self, path: str, content: bytes, *, mode: int = 0o644) -> None:
        self.asked.append(said_write(path, content))

    def http(
        self,
        method: str,
        url: str,
        *,
        seconds: float,
        body: bytes = b"",
        on_line: Callable[[bytes], None] | None = None,
        trust: Trust = SYSTEM_CAS,
    ) -> HttpReply:
        self.asked.append(said_http(method, url, body, trust))
        return HttpReply(200, b"{}")

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
        self.asked.append(said_tcp(address, port, send, trust))
        return b""

    def now(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        return


def commands(operation: Operation[Any, Any], arguments: Mapping[str, Json]) -> tuple[str, ...]:
    """What the operation would do to a machine, or what it looks at when it only looks."""
    bound = read_arguments(operation.arguments, arguments)
    if operation.in_plan:
        return operation.in_plan(bound)
    host = DryRunHost()
    try:
        if operation.only_looks:
            operation.look(host, bound)
        else:
            operation.act(host, bound, Tell())
    except (ActFailed, HostFault):
        # A neutral answer is no real one; what was asked up to there is what a plan shows.
        pass
    return tuple(host.asked)
