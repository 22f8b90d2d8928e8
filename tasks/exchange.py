"""One exchange with a service over a connection: HTTP, or plain bytes, under one deadline.

What lives here: the exchanges, the faults they can end in, and what they keep. What must not:
how a connection is made; a Host gives its own way, so that SSH asks from the far machine.
"""

from __future__ import annotations

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
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        address, port = parts.hostname or "", parts.port or (443 if secure else 80)
        connection = http.client.HTTPConnection(address, port)
        connection.sock = sock = dial(address, port, seconds)
        if secure:
            connection.sock = sock = _secured(sock, address, trust, ends)
        target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        headers = {"Host": parts.netloc, "Connection": "close", "Accept": "*/*"}
        if body:
            headers["Content-Type"] = "application/json"
        sock.settimeout(_left(ends))
        connection.request(method, target, body=body or None, headers=headers)
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
        return HttpReply(answer.status, bytes(kept))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise fault_of(url, error) from error
    finally:
        if connection:
            connection.close()


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
    except (OSError, ValueError) as error:
        raise fault_of(f"{address}:{port}", error) from error
    finally:
        if connection:
            connection.close()
    return received


def fault_of(place: str, error: Exception) -> HostFault:
    """The fault that a failed exchange ends in; the same sentence whoever made the exchange."""
    match error:
        case ConnectionRefusedError():
            return NobodyListens(f"{place}: {_said(error)}")
        case ssl.SSLCertVerificationError():
            return HostFault(f"{place}: its certificate is not trusted: {error.verify_message}")
        case TimeoutError() if error.errno is None:
            return HostFault(f"{place}: no complete answer in time")
        case _:
            return HostFault(f"{place}: {_said(error)}")


def tls_context(trust: Trust) -> ssl.SSLContext:
    try:
        return context(trust)
    except (ssl.SSLError, ValueError) as error:
        raise NotAsked("the CA file given for this check holds no certificate in PEM") from error


def _secured(sock: socket.socket, address: str, trust: Trust, ends: float) -> socket.socket:
    sock.settimeout(_left(ends))
    return tls_context(trust).wrap_socket(sock, server_hostname=address)


def _left(ends: float) -> float:
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError("no complete answer in time")
    return left


def _said(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
