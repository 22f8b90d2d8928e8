"""PowerShell on a Hyper-V host, through pypsrp: pools, pipelines, deadlines and faults.

What lives here: everything that knows pypsrp, which is imported when a host is first asked,
because only the machine that reaches the hypervisor needs it. What must not: any cmdlet of
Hyper-V's (hyperv.py). Why each bound is there: docs/decisions/hyperv.md.
"""

from __future__ import annotations

import atexit
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tasks.host import Host
from tasks.hypervisors import HypervisorFault
from tasks.hypervisors._hyperv_faults import (
    NO_SUCH_SHELL,
    Late,
    SaidNo,
    ShellGone,
    said_no,
    told,
)
from tasks.hypervisors._hyperv_password import Password
from tasks.hypervisors._hyperv_settings import Settings

T = TypeVar("T")

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

        self._settings = settings
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
            raise Late(f"{self._settings.place} was ready only after the deadline")
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
                raise ShellGone(f"{self._settings.place} was restarted", retry=True) from error
            raise
        while shell.state == PSInvocationState.RUNNING:
            if not deadline.left():
                shell.stop()
                names = " and ".join(each[0].name for each in statements)
                raise Late(f"{self._settings.place}: {names} had not ended by the deadline")
            shortly = max(SHORTEST_POLL, min(POLL_SECONDS, deadline.left()))
            shell.poll_invoke(timeout=shortly)  # type: ignore[arg-type]
        if shell.streams.error or shell.had_errors:
            raise said_no(shell.streams.error, self._settings)
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


class Session:
    """What one call of the port asks of the host: on one pool, within one deadline."""

    def __init__(self, remote: Remote, deadline: Deadline) -> None:
        self._remote = remote
        self.deadline = deadline

    def run(self, *statements: tuple[Cmdlet, ...]) -> list[Any]:
        return self._remote.run(statements, self.deadline)


class Remote:
    """One host. Pools are opened as calls need them, and kept on the shelf between them."""

    def __init__(self, settings: Settings, host: Host) -> None:
        try:
            import pypsrp  # noqa: F401 (only to see whether it is there)
        except ImportError as error:
            raise HypervisorFault(
                "pypsrp is not installed on this machine, which is the one that reaches the "
                "Hyper-V host; install it for its agent: pip install 'pypsrp>=0.9'",
                retry=False,
            ) from error
        # It logs as errors, with tracebacks, what is reported here in a sentence.
        logging.getLogger("pypsrp").setLevel(logging.CRITICAL)
        self._settings = settings
        self._password = Password(settings, host)

    def within(self, seconds: float, work: Callable[[Session], T]) -> T:
        """Carry out `work` in a thread, because not every wait in there can be bounded.

        Names are resolved and a host that answers byte by byte is read without a limit. A
        thread that is left behind ends with its connection, and holds up nobody.
        """
        deadline = Deadline(seconds)
        ended: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

        def carry_out() -> None:
            try:
                ended.put((work(Session(self, deadline)), None))
            except BaseException as error:  # noqa: BLE001 (raised again in the caller's thread)
                ended.put((None, error))

        threading.Thread(target=carry_out, daemon=True, name="hyperv").start()
        try:
            value, error = ended.get(timeout=seconds)
        except queue.Empty:
            raise Late(f"{self._settings.place} did not answer within {seconds:.0f} s") from None
        finally:
            deadline.cancel()
        if error is not None:
            raise error
        return value  # type: ignore[return-value]

    def run(self, statements: tuple[tuple[Cmdlet, ...], ...], deadline: Deadline) -> list[Any]:
        pool = SHELF.take(self._settings)
        if pool is not None:
            try:
                return self._on(pool, statements, deadline)
            except ShellGone:
                pass  # the host was restarted, and has not seen these commands
        return self._on(self._open(deadline), statements, deadline)

    def _open(self, deadline: Deadline) -> Pool:
        from pypsrp.exceptions import AuthenticationError

        with self._password.shown(deadline.sleep, deadline.left):
            pool = None
            try:
                pool = Pool(self._settings, deadline)
                pool.open()
            except AuthenticationError as error:
                self._password.refused()
                raise told(error, self._settings) from error
            except Exception as error:
                if pool is not None:
                    pool.close()
                raise told(error, self._settings) from error
            self._password.let_in()
            return pool

    def _on(
        self, pool: Pool, statements: tuple[tuple[Cmdlet, ...], ...], deadline: Deadline
    ) -> list[Any]:
        """After a fault the pool is not used again: what it still holds is not known."""
        try:
            given = pool.run(statements, deadline)
        except SaidNo:
            SHELF.put(self._settings, pool)
            raise
        except Exception as error:
            close_aside(pool)
            raise told(error, self._settings) from error
        SHELF.put(self._settings, pool)
        return given
