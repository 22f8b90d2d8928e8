"""The tests' Hyper-V host over the machines of a practice lab: its starts boot real systemds.

What lives here: the hooks, a listener where the lab's coordinator can reach it, and a fleet
file that names this host. What must not: a story or a judgement.
"""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy.lab.lab import Lab
from deploy.lab.stage import fitted
from tests.contracts.hypervisors import settings_file
from tests.hyperv.certificates import Authority
from tests.hyperv.resident import powering
from tests.hyperv.server import HyperV, running_hyperv

CLONE_NEWNET = 0x40000000


@contextmanager
def hyperv_over(lab: Lab, folder: Path) -> Iterator[tuple[HyperV, dict[str, Any]]]:
    """The host, and the shipped fleet with it as its hypervisor. `folder` keeps its settings."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = Authority(folder)
    names = {definition.vm: name for name, definition in lab.machines.items()}
    listener = listener_in(f"/run/netns/{lab.plan['namespace']}")
    with (
        powering(lab.home, len(names)) as power,
        running_hyperv(*names, tls=authority.server(), listener=listener) as host,
    ):
        for machine in host.machines:
            machine.is_on = lambda vm: lab.power_of(names[vm]) != "off"
            machine.on_start = lambda vm: power("start", names[vm])
            machine.on_shutdown = lambda vm: power("stop", names[vm])
            machine.on_cut = lambda vm: power("kill", names[vm])
        fleet = fitted(lab)
        at = settings_file(folder, host, ca_file=authority.file)
        fleet["hypervisors"] = {"lab": {"driver": "hyperv", "at": at}}
        yield host, fleet


def listener_in(namespace: str) -> socket.socket:
    """A loopback listener in that network namespace; a socket stays in the one it was made in."""

    def make() -> socket.socket:
        handle = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(handle, CLONE_NEWNET) != 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), namespace)
            return socket.create_server(("127.0.0.1", 0), backlog=50)
        finally:
            os.close(handle)

    # A thread has its own namespace, and this one ends with the block.
    with ThreadPoolExecutor(max_workers=1) as apart:
        return apart.submit(make).result()
