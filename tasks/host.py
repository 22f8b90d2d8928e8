"""The Host port: all that an operation may do to a machine, and the local machine behind it.

What lives here: the port with its contract, the values it answers with, `LocalHost`, and
`spawn` for child processes that outlive the call. What must not: any knowledge of services.
This is the only file outside the lab that imports `subprocess`; no shell is ever involved,
so a value from a file or a request can only ever be one argument.

The twins are `tasks.ssh.SshHost`, `tasks.fake.FakeHost` and `tasks.fake.DryRunHost`; one
contract suite (tests/contracts/test_host.py) runs on all but the last.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

# Re-exported: they belong to the port, and the exchanges need them without it.
from tasks.exchange import OUTPUT_LIMIT as OUTPUT_LIMIT
from tasks.exchange import HostFault as HostFault
from tasks.exchange import HttpReply as HttpReply
from tasks.exchange import NobodyListens as NobodyListens
from tasks.exchange import NotAsked as NotAsked
from tasks.exchange import dial, http_exchange, tcp_exchange
from tasks.trust import SYSTEM_CAS, Trust


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that ran. `exit_code` is None when its deadline passed and it was killed."""

    exit_code: int | None
    out: str
    err: str

    @property
    def ok(self) -> bool:
        return self.exit_code == 0

    @property
    def complaint(self) -> str:
        """What went wrong, for a reason: the last line it said, or its exit code."""
        if self.exit_code is None:
            return "was stopped at its deadline"
        said = (self.err.strip() or self.out.strip()).splitlines()
        return said[-1] if said else f"ended with exit code {self.exit_code}"


class Host(Protocol):
    """One machine, as operations see it.

    Contract, for every implementation:
    - every call has a deadline in seconds and returns or raises by then;
    - a command that is not there answers with exit code 127, as a shell would say it;
    - `read` answers None for a file that does not exist, and the end of one that is too long;
    - `write` is atomic: readers see the old file or the new one, never a part;
    - `http` and `tcp` ask *from this machine*; no answer raises HostFault, any answer is a value;
    - HostFault is raised for what could not be asked, never for an answer that is unwelcome;
      its kind NobodyListens where the port is known to be closed on a machine that is up;
    - a certificate that `trust` does not cover is a HostFault, and nothing was sent to it;
    - `now` and `sleep` are this host's clock, so that a test's clock can stand in.
    """

    def run(
        self, argv: Sequence[str], *, seconds: float, stdin: bytes = b"", user: str = ""
    ) -> Ran: ...

    def read(self, path: str, *, last: int = OUTPUT_LIMIT) -> str | None: ...

    def write(self, path: str, content: bytes, *, mode: int = 0o644) -> None: ...

    def http(
        self,
        method: str,
        url: str,
        *,
        seconds: float,
        body: bytes = b"",
        on_line: Callable[[bytes], None] | None = None,
        trust: Trust = SYSTEM_CAS,
    ) -> HttpReply: ...

    def tcp(
        self,
        address: str,
        port: int,
        *,
        seconds: float,
        send: bytes = b"",
        complete: Callable[[bytes], bool] = lambda _: True,
        trust: Trust | None = None,
    ) -> bytes: ...

    def now(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


class LocalHost:
    """This machine."""

    def run(
        self, argv: Sequence[str], *, seconds: float, stdin: bytes = b"", user: str = ""
    ) -> Ran:
        try:
            child = subprocess.Popen(
                list(argv),
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # Its own process group, so that the deadline also ends what it started.
                process_group=0,
                user=user or None,
                env=_environment(user),
            )
        except FileNotFoundError:
            return Ran(127, "", f"{argv[0]}: not found")
        except PermissionError as error:
            return Ran(126, "", f"{argv[0]}: {error.strerror}")
        except (OSError, ValueError) as error:
            raise HostFault(f"{argv[0]} could not be started: {error}") from error
        try:
            out, err = child.communicate(stdin or None, timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            out, err = child.communicate()
            return Ran(None, _text(out), _text(err))
        except BaseException:
            # Whoever waited for it was told to stop: nothing goes on in its name.
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
            raise
        return Ran(child.returncode, _text(out), _text(err))

    def read(self, path: str, *, last: int = OUTPUT_LIMIT) -> str | None:
        try:
            with open(path, "rb") as file:
                # Files under /proc have no size and cannot be asked for their end.
                if (size := os.fstat(file.fileno()).st_size) > last:
                    file.seek(size - last)
                return file.read()[-last:].decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return None
        except OSError as error:
            raise HostFault(f"{path} could not be read: {error.strerror}") from error

    def write(self, path: str, content: bytes, *, mode: int = 0o644) -> None:
        target = Path(path)
        try:
            handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fchmod(file.fileno(), mode)
                    os.fsync(file.fileno())
                os.replace(temporary, target)
            except BaseException:
                os.unlink(temporary)
                raise
        except OSError as error:
            raise HostFault(f"{path} could not be written: {error.strerror}") from error

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
        return http_exchange(
            dial, method, url, seconds=seconds, body=body, on_line=on_line, trust=trust
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
        return tcp_exchange(
            dial, address, port, seconds=seconds, send=send, complete=complete, trust=trust
        )

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def _text(output: bytes) -> str:
    return output[-OUTPUT_LIMIT:].decode(errors="replace")


def _environment(user: str) -> Mapping[str, str] | None:
    """The C locale, because answers are parsed; the user's own home when running as one."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "SYSTEMD_PAGER": ""}
    if user:
        try:
            environment["HOME"] = pwd.getpwnam(user).pw_dir
        except KeyError as error:
            raise HostFault(f"there is no user {user!r} on this machine") from error
        environment["USER"] = environment["LOGNAME"] = user
    return environment


def spawn(
    argv: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a child that outlives this call, in its own session, its output into `log`."""
    program = shutil.which(argv[0]) or argv[0]
    with log.open("ab") as output:
        return subprocess.Popen(
            [program, *argv[1:]],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=None if environment is None else {**os.environ, **environment},
        )
