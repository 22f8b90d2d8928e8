"""One connection to a Redis server that waits for its answers: for processes beside the agent.

What lives here: connecting, logging in, asking, and the opening words of a replica. What must
not: what an answer means. Operations ask through the Host port; here are values of any bytes
and transfers of any length, which must never be held whole in memory.
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tasks.exchange import HostFault, tls_context
from tasks.host import LocalHost
from tasks.questions import read_trust
from tasks.resp import ErrorReply, NotRedis, replies

CHUNK = 256 * 1024


class LinkFault(Exception):
    """The server could not be asked, or closed the connection. A retry may help."""


class LinkRefused(Exception):
    """The server answered that it does not allow this: a password or a right is missing."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where a Redis server is. `socket_path` instead of address and port for a local one."""

    address: str = ""
    port: int = 6379
    password_file: str = ""
    user: str = ""  #: an ACL user; empty for the default one
    socket_path: str = ""
    tls: bool = False
    ca_file: str = ""  #: where the system's CAs do not do
    pin_sha256: str = ""  #: of the one certificate that counts

    @property
    def name(self) -> str:
        return self.socket_path or f"{self.address}:{self.port}"


def server_of(settings: Any) -> Server:
    """From what a process was told, which names all of it in the same words."""
    names = [each.name for each in fields(Server) if each.name != "socket_path"]
    return Server(**{name: getattr(settings, name) for name in names})


class Link:
    """A connection that is logged in. Ends with `close`, or as a context manager."""

    def __init__(self, server: Server, *, seconds: float = 10.0) -> None:
        self.server = server
        try:
            self.socket = _dialled(server, seconds)
        except HostFault as fault:
            raise LinkFault(str(fault)) from fault
        except OSError as error:
            raise fault_of(server, error) from error
        if server.password_file:
            said = self.ask("AUTH", *([server.user] if server.user else []), _password(server))
            if isinstance(said, ErrorReply):
                self.close()
                raise LinkRefused(
                    f"{server.name} does not accept the password in {server.password_file}: "
                    f"{said.text}"
                )

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, *words: str | bytes) -> None:
        try:
            self.socket.sendall(packed(words))
        except OSError as error:
            raise fault_of(self.server, error) from error

    def ask(self, *words: str | bytes) -> object:
        return self.ask_all([words])[0]

    def ask_all(self, commands: Sequence[Sequence[str | bytes]]) -> list[object]:
        """Each command's reply, in order; an error reply is a value."""
        received = bytearray()
        try:
            self.socket.sendall(b"".join(packed(words) for words in commands))
            while True:
                chunk = self.socket.recv(CHUNK)
                if not chunk and len(replies(bytes(received))) < len(commands):
                    raise LinkFault(f"{self.server.name} closed the connection")
                received += chunk
                # Looked at only when nothing more waits, or a long answer is copied for each part.
                if chunk and self.readable(0):
                    continue
                if len(answers := replies(bytes(received))) >= len(commands):
                    return answers
        except NotRedis as error:
            raise LinkFault(f"{self.server.name}: {error}") from error
        except OSError as error:
            raise fault_of(self.server, error) from error

    def readable(self, seconds: float) -> bool:
        """Whether there is something to receive; over TLS it may be here already."""
        here = isinstance(self.socket, ssl.SSLSocket) and self.socket.pending() > 0
        return here or bool(select.select([self.socket], [], [], seconds)[0])

    def line(self) -> bytes:
        """One line, read byte by byte: what follows it is no reply."""
        said = bytearray()
        while not said.endswith(b"\n"):
            try:
                byte = self.socket.recv(1)
            except OSError as error:
                raise fault_of(self.server, error) from error
            if not byte:
                raise LinkFault(f"{self.server.name} closed the connection")
            said += byte
        return bytes(said).strip()


def packed(words: Sequence[str | bytes]) -> bytes:
    """A command as the protocol has it; unlike tasks.resp.command, with words of any bytes."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        encoded = word if isinstance(word, bytes) else word.encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(encoded), encoded))
    return b"".join(parts)


def fault_of(server: Server, error: OSError) -> LinkFault:
    if isinstance(error, ssl.SSLCertVerificationError):
        return LinkFault(f"{server.name}: its certificate is not trusted: {error.verify_message}")
    return LinkFault(f"{server.name}: {error.strerror or error}")


def _dialled(server: Server, seconds: float) -> socket.socket:
    if not server.socket_path:
        plain = socket.create_connection((server.address, server.port), timeout=seconds)
        if not server.tls:
            return plain
        trust = read_trust(LocalHost().read, server.ca_file, server.pin_sha256)
        return tls_context(trust).wrap_socket(plain, server_hostname=server.address)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(seconds)
    connection.connect(server.socket_path)
    return connection


def _password(server: Server) -> str:
    try:
        password = Path(server.password_file).read_text().strip()
    except OSError as error:
        raise LinkRefused(
            f"the password file {server.password_file} cannot be read: {error.strerror}"
        ) from error
    if not password:
        raise LinkRefused(f"the password file {server.password_file} is empty")
    return password
