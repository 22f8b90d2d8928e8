"""A command on a machine that is asked line by line while it runs.

What lives here: one line out, one line back, each in time. What must not: connecting (ssh.py).
Whoever hangs up ends it: the command finds its input closed.
"""

from __future__ import annotations

import time

import paramiko

from tasks.host import HostFault


class Talk:
    """One running command. Any fault ends it for good."""

    def __init__(self, channel: paramiko.Channel, name: str) -> None:
        self._channel, self._name = channel, name
        self._heard = b""

    def say(self, line: str) -> None:
        try:
            self._channel.sendall(f"{line}\n".encode())
        except OSError as error:
            raise HostFault(f"{self._name} went away") from error

    def hear(self, *, seconds: float) -> str:
        """The next line, without its end."""
        ends = time.monotonic() + seconds
        while b"\n" not in self._heard:
            self._channel.settimeout(max(ends - time.monotonic(), 0.001))
            try:
                data = self._channel.recv(65536)
            except TimeoutError as error:
                raise HostFault(f"{self._name} did not answer in {seconds:.0f} s") from error
            except OSError as error:
                raise HostFault(f"{self._name} went away") from error
            if not data:
                raise HostFault(f"{self._name} ended: {self._complaint()}")
            self._heard += data
        line, _, self._heard = self._heard.partition(b"\n")
        return line.decode(errors="replace")

    def _complaint(self) -> str:
        self._channel.settimeout(1.0)
        try:
            said = self._channel.recv_stderr(65536).decode(errors="replace").strip()
        except OSError:
            said = ""
        return said.splitlines()[-1] if said else "it said nothing"
