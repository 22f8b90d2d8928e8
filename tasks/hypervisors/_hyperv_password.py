"""A password that a Hyper-V host has refused is not shown to it again until it is another one.

What lives here: remembering that, on this machine and for all its processes. What must not:
the password itself; a digest is kept. Windows locks an account after a few wrong passwords,
and a recovery asks for six machines at once: locked out, even the right one would not help.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tasks.host import Host, HostFault
from tasks.hypervisors import HypervisorFault
from tasks.hypervisors._hyperv_settings import Settings

#: Where the agent keeps what it must remember; a password from the environment has no file.
STATE = "AUTOBOT_DR_STATE"
PAUSE = 0.02

#: A password that has opened the door is shown by several at a time for so long; then one tries
#: it alone again, since it may have been changed at the host.
TRUSTED_SECONDS = 15 * 60.0

#: Where no file can be written.
_here: dict[str, float] = {}


class Password:
    """What is known of one password at one host. A right one has another digest."""

    def __init__(self, settings: Settings, host: Host) -> None:
        self._settings = settings
        self._host = host
        folder = os.environ.get(STATE, "")
        self._lock_on = settings.password_file or folder
        self._note = f"{settings.password_file or f'{folder}/hyperv.password'}.seen"
        if not self._lock_on:
            self._note = ""
        # With the way it is shown: a host may refuse a right password because of that.
        way = (settings.host, str(settings.port), settings.ssl, settings.auth)
        shown = "\0".join((*way, settings.user, settings.password))
        self._digest = hashlib.sha256(shown.encode()).hexdigest()

    @contextmanager
    def shown(self, sleep: Callable[[float], None], left: Callable[[], float]) -> Iterator[None]:
        """Around a contact: one process at a time, unless one of them was let in just now."""
        lock = None if self._trusted(TRUSTED_SECONDS) else self._lock(sleep, left)
        try:
            self._check()
            yield
        finally:
            if lock is not None:
                os.close(lock)

    def let_in(self) -> None:
        if not self._trusted(TRUSTED_SECONDS / 2):
            self._keep(-self._host.now())

    def refused(self) -> None:
        self._keep(self._host.now())

    def _check(self) -> None:
        at = self._known().get(self._digest, 0.0)
        if at > 0:
            remedy = f"or remove {self._note}" if self._note else "and restart this"
            raise HypervisorFault(
                f"{self._settings.place} refused the password of "
                f"{self._settings.user or 'this process'} {self._host.now() - at:.0f} s ago, and "
                f"it is not tried again lest the account be locked; correct the password {remedy}",
                retry=False,
            )

    def _trusted(self, seconds: float) -> bool:
        let_in_at = -self._known().get(self._digest, 0.0)
        return 0 <= self._host.now() - let_in_at < seconds

    def _keep(self, at: float) -> None:
        """When it was refused; less than nothing, when it was let in."""
        _here.pop(self._digest, None)
        try:
            if self._note:
                content = json.dumps(self._written() | {self._digest: at}).encode()
                self._host.write(self._note, content, mode=0o600)
                return
        except HostFault:
            pass  # then at least this process remembers
        _here[self._digest] = at

    def _known(self) -> dict[str, float]:
        return self._written() | _here

    def _written(self) -> dict[str, float]:
        """What the note says; a person may have removed it to have the password tried again."""
        try:
            text = self._host.read(self._note) if self._note else None
            return {str(digest): float(at) for digest, at in json.loads(text or "{}").items()}
        except (HostFault, ValueError, AttributeError, TypeError):
            return {}

    def _lock(self, sleep: Callable[[float], None], left: Callable[[], float]) -> int | None:
        """A lock on the password file itself: it is there, and reading it is enough."""
        try:
            handle = os.open(self._lock_on, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        while left() > 0:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return handle
            except OSError:
                sleep(PAUSE)
        os.close(handle)
        raise HypervisorFault(
            f"{self._settings.place}: another process is still waiting for its answer", retry=True
        )
