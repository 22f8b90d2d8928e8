"""Using one machine of the practice lab over SSH: logging in, writing units, doing operations.

What lives here: what the tests on a real machine share. What must not: what they show.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy.lab import lab as labs
from deploy.lab.machines import NETWORK, MachineDefinition
from tasks.catalog import operations
from tasks.operation import Result, Tell, carry_out
from tasks.ssh import SshHost

ADDRESS = f"{NETWORK}.22"
MACHINES = (MachineDefinition("npu", ADDRESS, "Machine", ("npu-worker",)),)


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """This thread's new sockets belong to the network namespace; os.setns came with 3.12."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open() as home, Path(namespace).open() as away:
        assert libc.setns(away.fileno(), 0) == 0, os.strerror(ctypes.get_errno())
        try:
            yield
        finally:
            assert libc.setns(home.fileno(), 0) == 0, os.strerror(ctypes.get_errno())


@contextlib.contextmanager
def logged_in(lab: labs.Lab, user: str, *, sudo: bool = False) -> Iterator[SshHost]:
    known_hosts = lab.ssh_key.with_name("known_hosts")
    host = SshHost(
        ADDRESS, user=user, key_file=str(lab.ssh_key), known_hosts=str(known_hosts), sudo=sudo
    )
    with inside(f"/run/netns/{lab.plan['namespace']}"):
        assert host.run(("true",), seconds=10).ok
    yield host
    host.close()


def unit(host: SshHost, name: str, *lines: str) -> str:
    text = "\n".join(("[Service]", *lines, ""))
    host.write(f"/run/systemd/system/{name}.service", text.encode())
    assert host.run(("systemctl", "daemon-reload"), seconds=10).ok
    return name


def do(host: SshHost, operation: str, within: float = 30, **arguments: Any) -> Result:
    return carry_out(
        host, operations()[operation], arguments, ends=host.now() + within, tell=Tell(print)
    )
