"""What the operations share that bring something to another machine or from it, by ssh.

What must not be here: any one of these operations, and our own SSH path to a machine whose agent
is dead (tasks/ssh.py).
"""

from __future__ import annotations

import shlex
from typing import Protocol

from tasks.host import Host, HostFault, Ran
from tasks.operation import ActFailed
from tasks.pipes import OnLine


class Login(Protocol):
    """How to get to the other machine: arguments that each of them takes."""

    @property
    def address(self) -> str: ...

    @property
    def ssh_user(self) -> str: ...

    @property
    def ssh_key(self) -> str: ...

    @property
    def ssh_port(self) -> int: ...

    @property
    def ssh_known_hosts(self) -> str: ...


def over_ssh(login: Login, *argv: str) -> tuple[str, ...]:
    """The command that runs `argv` there. An unknown host is refused."""
    known = login.ssh_known_hosts
    hosts = ("-o", f"UserKnownHostsFile={known}") if known else ()
    options = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=10", *hosts, "-i", login.ssh_key)
    way = ("-p", str(login.ssh_port), "--", f"{login.ssh_user}@{login.address}")
    return ("ssh", *options, *way, shlex.join(argv))


def ask(host: Host, login: Login, *argv: str, seconds: float) -> Ran:
    """What it says there. Raises HostFault where ssh itself did not get there."""
    ran = host.run(over_ssh(login, *argv), seconds=seconds)
    if ran.exit_code == 255:
        raise HostFault(f"{login.ssh_user}@{login.address} over SSH: {ran.complaint}")
    return ran


def demand(host: Host, argv: tuple[str, ...], seconds: float, on_line: OnLine | None = None) -> Ran:
    """A part of a copy, which fails with it."""
    ran = host.run(argv, seconds=seconds, on_line=on_line)
    if not ran.ok:
        raise ActFailed(f"the copy: {ran.complaint}")
    return ran
