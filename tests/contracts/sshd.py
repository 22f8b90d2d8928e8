"""A real sshd of the test's own, on loopback, with its own keys."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.ssh import SshHost
from tasks.ssh_way import Login
from tests.integration.rig import free_port


@dataclass(frozen=True)
class Sshd:
    home: Path
    port: int

    def connect(
        self,
        *,
        known_hosts: str = "known_hosts",
        key: str = "key",
        jump: bool = False,
        sudo: bool = False,
    ) -> SshHost:
        between = Login("127.0.0.1", getpass.getuser(), str(self.home / key), self.port)
        return SshHost(
            "127.0.0.1",
            port=self.port,
            user=getpass.getuser(),
            key_file=str(self.home / key),
            known_hosts=str(self.home / known_hosts),
            jump=between if jump else None,
            sudo=sudo,
        )


def make_key(path: Path) -> str:
    """A key pair at `path`; the public half."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path.with_suffix(".pub").read_text()


@contextmanager
def running_sshd(home: Path, environment: Mapping[str, str] | None = None) -> Iterator[Sshd]:
    """`environment` is what its sessions find."""
    program = shutil.which("sshd", path="/usr/sbin:/usr/bin")
    if program is None:
        pytest.skip("no sshd: the package openssh-server is not installed")
    port = free_port()
    known = make_key(home / "host_key")
    (home / "authorized_keys").write_text(make_key(home / "key"))
    (home / "known_hosts").write_text(f"[127.0.0.1]:{port} {known}")
    (home / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {home}/host_key\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {home}/authorized_keys\nStrictModes no\n"
        "PasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        "Subsystem sftp internal-sftp\n"
        + (
            f"SetEnv {' '.join(f'{k}={v}' for k, v in environment.items())}\n"
            if environment
            else ""
        )
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    server = subprocess.Popen([program, "-D", "-e", "-f", home / "sshd_config"])
    try:
        wait_for(port)
        yield Sshd(home, port)
    finally:
        server.terminate()
        server.wait(10)


def wait_for(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise AssertionError(f"nothing listens at {port}")
