"""A Hyper-V host, as one call of the port asks it: who is let in, within which time.

What lives here: opening a pool by each way that is open to us, and one call's deadline. pypsrp is
imported when a host is first asked, because only the machine that reaches the hypervisor needs
it. What must not: any cmdlet of Hyper-V's (hyperv.py), and pools themselves (_hyperv_pool.py).
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from tasks.host import Host
from tasks.hypervisors import HypervisorFault
from tasks.hypervisors._hyperv_faults import Late, SaidNo, ShellGone, told
from tasks.hypervisors._hyperv_kerberos import NotLetIn, get_ticket, ways
from tasks.hypervisors._hyperv_password import Password
from tasks.hypervisors._hyperv_pool import SHELF, Cmdlet, Deadline, Pool, close_aside
from tasks.hypervisors._hyperv_settings import Settings

T = TypeVar("T")


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
        closed: list[NotLetIn] = []
        with self._password.shown(deadline.sleep, deadline.left):
            for way in ways(self._settings):
                try:
                    pool = self._open_by(replace(self._settings, auth=way), deadline)
                except NotLetIn as fault:
                    closed.append(fault)
                    if fault.wrong_password:
                        self._password.refused()
                        break
                else:
                    self._password.let_in()
                    return pool
        said = "; before that, ".join(str(each) for each in reversed(closed))
        raise NotLetIn(said, retry=closed[-1].retry) from closed[-1]

    def _open_by(self, settings: Settings, deadline: Deadline) -> Pool:
        if settings.auth == "kerberos":
            patience = min(settings.connect_seconds, deadline.left() / 2)
            get_ticket(settings, patience, self._password.refused)
        pool = None
        try:
            pool = Pool(settings, deadline)
            pool.open()
        except Exception as error:
            fault = told(error, settings)
            # Closing would show a refused password again.
            if pool is not None and not isinstance(fault, NotLetIn):
                pool.close()
            raise fault from error
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
            fault = told(error, pool.settings)
            if not isinstance(fault, NotLetIn):
                close_aside(pool)
            elif fault.wrong_password:
                self._password.refused()
                SHELF.drop(self._settings)
            raise fault from error
        SHELF.put(self._settings, pool)
        return given
