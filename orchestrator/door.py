"""The SSH door of each machine of a fleet: whether it answers, and going through it.

What lives here: from the fleet file's `ssh` to a Host. What must not: SSH itself (tasks/ssh.py)
and what is done on the machine.
"""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from orchestrator.fleetfile import Inventory
from orchestrator.sshfile import Jump
from tasks.host import HostFault, LocalHost
from tasks.ssh import SshHost
from tasks.ssh_way import Login

KNOCK_SECONDS = 2.0  #: for a machine's SSH server to say what it is


def through(inventory: Inventory, machine: str) -> SshHost:
    """The machine over SSH, not connected yet. Who is not root there works with sudo."""
    access = inventory.access[machine]
    return SshHost(
        inventory.fleet.machines[machine].address,
        user=access.user,
        key_file=_place(access.key),
        known_hosts=_place(access.known_hosts),
        port=access.port,
        sudo=access.user != "root",
        jump=_login(access.jump) if access.jump else None,
    )


def answering(inventory: Inventory, machines: Collection[str]) -> frozenset[str]:
    """Those of them whose SSH server says that it is one. All are asked at once."""
    if not machines:
        return frozenset()
    with ThreadPoolExecutor(max_workers=min(32, len(machines))) as pool:
        said = pool.map(lambda name: _answers(inventory, name), machines)
        return frozenset(name for name, yes in zip(machines, said, strict=True) if yes)


def _answers(inventory: Inventory, machine: str) -> bool:
    access = inventory.access[machine]
    # What is behind another machine can only be asked through that one.
    at = access.jump or access
    address = access.jump.address if access.jump else inventory.fleet.machines[machine].address
    try:
        banner = LocalHost().tcp(
            address, at.port, seconds=KNOCK_SECONDS, complete=lambda said: len(said) >= 4
        )
    except HostFault:
        return False
    return banner.startswith(b"SSH-")


def _login(jump: Jump) -> Login:
    return Login(jump.address, jump.user, _place(jump.key), jump.port)


def _place(path: str) -> str:
    return str(Path(path).expanduser())
