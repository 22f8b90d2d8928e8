"""PowerShell on a Hyper-V host, through pypsrp: pools, pipelines and their deadlines.

What lives here: pools of runspaces, and those that are kept for the next call. What must not: who
is let in (_hyperv_remote.py), and any cmdlet of Hyper-V's (hyperv.py). Why each bound is there:
docs/decisions/hyperv.md.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tasks.hypervisors._hyperv_faults import NO_SUCH_SHELL, Late, ShellGone, said_no
from tasks.hypervisors._hyperv_settings import Settings

#: One request for output lasts at most this long, so that an end is noticed in between.
POLL_SECONDS = 5.0
#: Windows refuses an operation timeout below this.
SHORTEST_POLL = 0.5
#: Closing a shell that does not answer is given up after this.
CLOSE_SECONDS = 5.0
#: The host drops a shell of ours that nobody closed: the process may be killed at any time.
IDLE_SECONDS = 180
#: Until then a pool is used again: opening one starts a process on the host, and loads Hyper-V's
#: commands into it, which takes it seconds.
KEPT_SECONDS = 120.0
#: Windows counts ended pipelines against a shell's limit, which is 1,000; after so many, a new one.
WORN = 100
#: Kept back of a call's time, so that it can still say what it was waiting for.
TO_SPEAK = 0.5


@dataclass(frozen=True, slots=True)
class Cmdlet:
    """One command. Errors end the pipeline (and its error stream is read all the same)."""

    name: str
    given: Mapping[str, Any] = field(default_factory=dict)


class Deadline:
    """Until when one call may last. Cancelled, it has passed."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._ends = time.monotonic() + seconds - min(TO_SPEAK, seconds / 4)
        self._cancelled = threading.Event()

    def left(self) -> float:
        return 0.0 if self._cancelled.is_set() else max(0.0, self._ends - time.monotonic())

    def cancel(self) -> None:
        self._cancelled.set()

    def sleep(self, seconds: float) -> None:
        self._cancelled.wait(min(seconds, self.left()))


class Pool:
    """One runspace pool with its connection. Never used by two calls at a time."""

    def __init__(self, settings: Settings, deadline: Deadline) -> None:
        from pypsrp.powershell import RunspacePool
        from pypsrp.wsman import WSMan

        self.settings = settings
        self.runs = 0
        whole = max(1.0, deadline.left())
        read = min(settings.read_seconds, whole + 1)
        self._wsman = WSMan(
            settings.host,
            port=settings.port or None,
            username=settings.user or None,
            password=settings.password or None,
            ssl=settings.ssl == "yes",
            auth=settings.auth,
            cert_validation=settings.ca_file or settings.validate == "yes",  # type: ignore[arg-type]
            encryption=settings.encryption,
            proxy=settings.proxy or None,
            no_proxy=not settings.proxy,
            connection_timeout=min(settings.connect_seconds, whole),  # type: ignore[arg-type]
            read_timeout=read,  # type: ignore[arg-type]
            operation_timeout=max(1, int(min(settings.operation_seconds, read - 1))),
            reconnection_backoff=0.0,
        )
        self._pool = RunspacePool(self._wsman, idle_timeout=IDLE_SECONDS)

    def open(self) -> None:
        self._pool.open()

    def run(self, statements: tuple[tuple[Cmdlet, ...], ...], deadline: Deadline) -> list[Any]:
        """The output of all statements; SaidNo for the first error, Late when time is up."""
        from pypsrp.complex_objects import PSInvocationState
        from pypsrp.exceptions import WSManFaultError
        from pypsrp.powershell import PowerShell

        if not deadline.left():
            # Whoever asked has gone: what it wanted must not happen behind its back.
            raise Late(f"{self.settings.place} was ready only after the deadline")
        self.runs += 1
        shell = PowerShell(self._pool)
        for number, statement in enumerate(statements):
            if number:
                shell.add_statement()
            for each in statement:
                shell.add_cmdlet(each.name).add_parameters(dict(each.given))
        try:
            shell.begin_invoke()
        except WSManFaultError as error:
            if error.code == NO_SUCH_SHELL:
                raise ShellGone(f"{self.settings.place} was restarted", retry=True) from error
            raise
        while shell.state == PSInvocationState.RUNNING:
            if not deadline.left():
                shell.stop()
                names = " and ".join(each[0].name for each in statements)
                raise Late(f"{self.settings.place}: {names} had not ended by the deadline")
            shortly = max(SHORTEST_POLL, min(POLL_SECONDS, deadline.left()))
            shell.poll_invoke(timeout=shortly)  # type: ignore[arg-type]
        if shell.streams.error or shell.had_errors:
            raise said_no(shell.streams.error, self.settings)
        return shell.output

    def close(self) -> None:
        """Whatever state it is in: an error here would hide the one that led here."""
        self._wsman.transport.read_timeout = CLOSE_SECONDS  # type: ignore[assignment]
        with suppress(Exception):
            self._pool.close()
        with suppress(Exception):
            self._wsman.close()


class Shelf:
    """The pools of this process that are not in use, for whoever asks the same host next."""

    def __init__(self, kept_seconds: float = KEPT_SECONDS) -> None:
        self._kept_seconds = kept_seconds
        self._lock = threading.Lock()
        self._idle: dict[tuple[int, Settings], list[tuple[float, Pool]]] = {}

    def take(self, settings: Settings) -> Pool | None:
        now, old = time.monotonic(), []
        with self._lock:
            for pools in self._idle.values():
                old += [pool for since, pool in pools if now - since > self._kept_seconds]
                pools[:] = [each for each in pools if now - each[0] <= self._kept_seconds]
            mine = self._idle.get((os.getpid(), settings))
            taken = mine.pop()[1] if mine else None
        for each in old:
            close_aside(each)
        return taken

    def put(self, settings: Settings, pool: Pool) -> None:
        if pool.runs >= WORN:
            close_aside(pool)
            return
        with self._lock:
            # A fork copies the shelf, and must not share a connection.
            mine = self._idle.setdefault((os.getpid(), settings), [])
            mine.append((time.monotonic(), pool))

    def drop(self, settings: Settings) -> None:
        """Not closed, because each would show the password that is refused now."""
        with self._lock:
            self._idle.pop((os.getpid(), settings), None)

    def clear(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, {}
        for (process, _), pools in idle.items():
            for _, pool in pools if process == os.getpid() else ():
                pool.close()


SHELF = Shelf()
atexit.register(SHELF.clear)


def close_aside(pool: Pool) -> None:
    """In a thread, because a host that does not answer must hold up nobody."""
    threading.Thread(target=pool.close, daemon=True, name="hyperv-close").start()
