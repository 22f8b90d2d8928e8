"""One exchange with a service over a connection: HTTP, or plain bytes, under one deadline.

What lives here: the exchanges, the faults they can end in, and what they keep. What must not:
how a connection is made; a Host gives its own way, so that SSH asks from the far machine.
"""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from tasks.trust import SYSTEM_CAS, Trust, context

#: What is kept of one command's output, one file or one HTTP body, in bytes. Longer is cut
#: at the front for commands and files (the end of a log is what matters).
OUTPUT_LIMIT = 256 * 1024

#: What is short of these, files or ports or memory, is the machine that asks: they say nothing
#: of the one that is asked, and a shortage of ours must not look like an outage of all.
OUR_OWN = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL})


class HostFault(Exception):
    """The machine could not be asked. Nothing is known of what was asked for; a retry may help."""


class NobodyListens(HostFault):
    """The machine is up and answers, but nothing listens at that port. A retry may help."""


class NotAsked(HostFault):
    """The question could not be put, by a fault of the asking side: a file of its own is missing.
    Nothing is known of what was asked for; somebody must mend the asking side."""


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A complete HTTP answer, whatever its status."""

    status: int
    body: bytes


#: Opens a connection to (address, port) within seconds. SshHost dials through its machine.
Dial = Callable[[str, int, float], socket.socket]


def dial(address: str, port: int, seconds: float) -> socket.socket:
    return socket.create_connection((address, port), timeout=max(seconds, 0.001))


def http_exchange(
    dial: Dial,
    method: str,
    url: str,
    *,
    seconds: float,
    body: bytes,
    on_line: Callable[[bytes], None] | None,
    trust: Trust = SYSTEM_CAS,
) -> HttpReply:
    """One HTTP/1.1 exchange. `seconds` bounds the whole of it, not each read.

    The standard library's client and not httpx: importing httpx costs an agent 22 MB
    (docs/decisions/agent-footprint.md), and one request without redirects needs little.
    """
    ends = time.monotonic() + seconds
    connection: http.client.HTTPConnection | None = None
    try:
        place = place_of(url)
        connection = http.client.HTTPConnection(place.address, place.port)
        connection.sock = sock = dial(place.address, place.port, seconds)
        if place.secure:
            connection.sock = sock = _secured(sock, place.address, trust, ends)
        sock.settimeout(_left(ends))
        send_request(connection, method, url, body)
        answer = connection.getresponse()
        kept = bytearray()
        while chunk := answer.readline(OUTPUT_LIMIT) if on_line else answer.read1(OUTPUT_LIMIT):
            if on_line:
                on_line(chunk)
            kept += chunk
            del kept[:-OUTPUT_LIMIT]
            # A peer that sends a little now and then must not outlast the deadline.
            if answer.fp is not None:
                sock.settimeout(_left(ends))
        if answer.length:
            raise http.client.IncompleteRead(b"", answer.length)
        return HttpReply(answer.status, bytes(kept))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise fault_of(url, error) from error
    finally:
        if connection:
            connection.close()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a URL leads."""

    secure: bool
    address: str
    port: int


def place_of(url: str) -> Place:
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    return Place(secure, parts.hostname or "", parts.port or (443 if secure else 80))


def send_request(
    connection: http.client.HTTPConnection, method: str, url: str, body: bytes
) -> None:
    parts = urlsplit(url)
    target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    headers = {"Host": parts.netloc, "Connection": "close", "Accept": "*/*"}
    if body:
        headers["Content-Type"] = "application/json"
    connection.request(method, target, body=body or None, headers=headers)


def tcp_exchange(
    dial: Dial,
    address: str,
    port: int,
    *,
    seconds: float,
    send: bytes,
    complete: Callable[[bytes], bool],
    trust: Trust | None = None,
) -> bytes:
    """Connect, send, and read until `complete` says the answer is whole; with trust, over TLS."""
    ends = time.monotonic() + seconds
    received = b""
    connection: socket.socket | None = None
    try:
        connection = dial(address, port, seconds)
        if trust is not None:
            connection = _secured(connection, address, trust, ends)
        connection.sendall(send)
        while not complete(received):
            connection.settimeout(_left(ends))
            chunk = connection.recv(65536)
            if not chunk:
                break
            received += chunk
            refuse_endless(received)
    except (OSError, ValueError) as error:
        raise fault_of(f"{address}:{port}", error) from error
    finally:
        if connection:
            connection.close()
    return received


def refuse_endless(received: bytes) -> None:
    if len(received) > OUTPUT_LIMIT:
        raise ValueError(f"the answer is longer than {OUTPUT_LIMIT // 1024} KiB")


def fault_of(place: str, error: Exception) -> HostFault:
    """The fault that a failed exchange ends in; the same sentence whoever made the exchange."""
    match error:
        case OSError() if error.errno in OUR_OWN:
            return NotAsked(f"{place}: this machine cannot ask: {_said(error)}")
        case ConnectionRefusedError():
            return NobodyListens(f"{place}: {_said(error)}")
        case ssl.SSLCertVerificationError():
            return HostFault(f"{place}: its certificate is not trusted: {error.verify_message}")
        case TimeoutError() if error.errno is None:
            return HostFault(f"{place}: no complete answer in time")
        case http.client.IncompleteRead():
            return HostFault(f"{place}: the answer broke off before its end")
        case ssl.SSLEOFError():
            return HostFault(f"{place}: the connection was closed within the TLS handshake")
        case _:
            return HostFault(f"{place}: {_said(error)}")


def tls_context(trust: Trust) -> ssl.SSLContext:
    try:
        return context(trust)
    except (ssl.SSLError, ValueError) as error:
        raise NotAsked("the CA file given for this check holds no certificate in PEM") from error


def _secured(sock: socket.socket, address: str, trust: Trust, ends: float) -> socket.socket:
    sock.settimeout(_left(ends))
    return tls_context(trust).wrap_socket(sock, server_hostname=trust.name or address)


def _left(ends: float) -> float:
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError("no complete answer in time")
    return left


def _said(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
