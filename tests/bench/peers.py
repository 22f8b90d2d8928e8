"""The peers of the ordered restart: ssh, pyinfra and ansible-core, each as its users would.

What lives here: their inventories, configuration and command lines. What must not: timing.
Each is given the very commands of the limit, which is faster than its own modules for them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.lab.lab import Lab
from tests.bench.product import BOUND, BenchFault

PROGRAMS = Path(sys.prefix) / "bin"

DEPLOY = """\
from pyinfra.operations import server

server.shell(commands=[{command!r}])
"""
PLAYBOOK = """\
- hosts: all
  serial: 1
  gather_facts: false
  tasks:
    - ansible.builtin.shell: {command}
"""
#: Its own defaults but for pipelining, which is faster; masters end by themselves.
ANSIBLE = """\
[defaults]
interpreter_python = /usr/bin/python3
[connection]
pipelining = True
[ssh_connection]
ssh_args = -C -o ControlMaster=auto -o ControlPersist=2s
control_path_dir = {folder}/control
"""


class Peers:
    """Ready to run `command` on each of `names`, one after another in that order."""

    def __init__(self, lab: Lab, folder: Path, names: Sequence[str], command: str) -> None:
        folder.mkdir()
        self.folder, self.command = folder, command
        self.addresses = [lab.address(name) for name in names]
        self.key, self.known = str(lab.ssh_key), str(lab.ssh_key.parent / "known_hosts")
        (folder / "deploy.py").write_text(DEPLOY.format(command=command))
        (folder / "playbook.yaml").write_text(PLAYBOOK.format(command=json.dumps(command)))
        (folder / "ansible.cfg").write_text(ANSIBLE.format(folder=folder))
        self._inventories()

    def _inventories(self) -> None:
        access = {
            "ssh_user": "root",
            "ssh_key": self.key,
            "ssh_known_hosts_file": self.known,
            "ssh_strict_host_key_checking": "yes",
        }
        hosts = [(address, access) for address in self.addresses]
        (self.folder / "inventory.py").write_text(f"machines = {hosts!r}\n")
        options = f"-o UserKnownHostsFile={self.known} -o IdentitiesOnly=yes"
        settings = f"ansible_user=root ansible_ssh_private_key_file={self.key}"
        settings += f" ansible_ssh_common_args='{options}'"
        lines = [f"{address} {settings}\n" for address in self.addresses]
        (self.folder / "hosts").write_text("".join(lines))

    def ssh(self) -> None:
        """OpenSSH's client, a connection for each machine."""
        for address in self.addresses:
            options = {
                "UserKnownHostsFile": self.known,
                "BatchMode": "yes",
                "IdentitiesOnly": "yes",
                "ControlMaster": "no",
                "ControlPath": "none",
            }
            given = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
            self._run(
                ["ssh", "-F", "none", "-i", self.key, *given, f"root@{address}", self.command]
            )

    def pyinfra(self) -> None:
        program = str(PROGRAMS / "pyinfra")
        self._run([program, "--serial", "--yes", "inventory.py", "deploy.py"])

    def ansible(self) -> None:
        program = str(PROGRAMS / "ansible-playbook")
        environment = {"ANSIBLE_CONFIG": str(self.folder / "ansible.cfg")}
        self._run([program, "--inventory", "hosts", "playbook.yaml"], environment)

    def _run(self, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        # A home of its own: nobody's configuration takes part.
        own = {"HOME": str(self.folder), "LC_ALL": "C.UTF-8", **(environment or {})}
        done = subprocess.run(
            argv,
            cwd=self.folder,
            env={**os.environ, **own},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=BOUND,
        )
        if done.returncode != 0:
            said = (done.stderr.strip() or done.stdout.strip())[-500:]
            raise BenchFault(f"{argv[0]} failed with exit code {done.returncode}: {said}")
