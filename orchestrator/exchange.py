"""The exchanges of tasks/exchange.py on an event loop: thousands at once in one thread.

What lives here: connecting, sending and receiving without blocking the loop. What must not:
words and decisions of its own; requests, parsing and faults are those of tasks/exchange.py, so
that a service is judged alike whether the watcher asks or the one who verifies a recovery
(docs/decisions/watcher-http.md).

Every exchange has a connection of its own: one that was kept would show that the service is
alive and not that it still accepts anybody.
"""

from __future__ import annotations

import asyncio
import http.client
import io
import ipaddress
import os
import re
import socket
import ssl
from collections.abc import Callable
from typing import Any, cast

from tasks.exchange import (
    OUTPUT_LIMIT,
    HttpReply,
    NotAsked,
    fault_of,
    place_of,
    refuse_endless,
    send_request,
    tls_context,
)
from tasks.questions import HttpQuestion, Question, TcpQuestion
from tasks.trust import Trust

LINE_LIMIT = 65536  #: of a header, as http.client has it
LINES_LIMIT = 102  #: a status line and one header more than http.client takes
ORDINARY = re.compile(rb"HTTP/1\.[01] [1-9]\d\d[ \r\n]")
#: A deadline that is noticed so late says that we were paused or starved. The answers that came
#: meanwhile were not read: nothing is known of those who gave them.
STOOD_SECONDS = 0.5
BLANK = (b"\r\n", b"\n", b"")

_Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def put(question: Question, *, seconds: float) -> HttpReply | bytes:
    """Ask from here; no reply raises HostFault. `seconds` bounds all of it, names included."""
    place = (
        question.url
        if isinstance(question, HttpQuestion)
        else f"{question.address}:{question.port}"
    )
    now = asyncio.get_running_loop().time
    ends = now() + seconds
    try:
        async with asyncio.timeout_at(ends):
            if isinstance(question, HttpQuestion):
                return await _http(question)
            return await _tcp(question)
    except TimeoutError as error:
        if (stood := now() - ends) > STOOD_SECONDS and error.errno is None:
            said = f"{place}: this machine stood still for {stood:.1f} s, and may have missed it"
            raise NotAsked(said) from error
        raise fault_of(place, error) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise fault_of(place, error) from error


async def _http(question: HttpQuestion) -> HttpReply:
    place = place_of(question.url)
    trust = question.trust if place.secure else None
    request = _request(question, place.address, place.port)
    reader, writer = await _connected(place.address, place.port, trust)
    try:
        writer.write(request)
        answer = await _head(reader, question.method)
        kept = bytearray()

        def keep(piece: bytes) -> None:
            kept.extend(piece)
            del kept[:-OUTPUT_LIMIT]

        if answer.chunked:
            await _chunks(reader, keep)
        else:
            await _plain(reader, answer.length, keep)
        return HttpReply(answer.status, bytes(kept))
    finally:
        writer.transport.abort()


async def _tcp(question: TcpQuestion) -> bytes:
    reader, writer = await _connected(question.address, question.port, question.trust)
    try:
        writer.write(question.send)
        received = b""
        while not question.complete(received):
            piece = await reader.read(LINE_LIMIT)
            if not piece:
                break
            received += piece
            refuse_endless(received)
        return received
    finally:
        writer.transport.abort()


async def _connected(address: str, port: int, trust: Trust | None) -> _Stream:
    context = tls_context(trust) if trust is not None else None
    sock = await _dialled(address, port)
    try:
        return await asyncio.open_connection(
            sock=sock,
            ssl=context,
            server_hostname=address if context else None,
            limit=LINE_LIMIT,
        )
    except ConnectionResetError as error:
        sock.close()
        # asyncio's way of saying that the peer hung up in the middle of the handshake.
        if context and error.errno is None:
            raise ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "closed within the handshake") from error
        raise
    except BaseException:
        sock.close()
        raise


async def _dialled(address: str, port: int) -> socket.socket:
    """As socket.create_connection: the first address that accepts, or the last one's fault."""
    loop = asyncio.get_running_loop()
    refusal = OSError("the name has no address")
    for family, at in await _addresses(address, port):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            await loop.sock_connect(sock, at)
            return sock
        except OSError as error:
            sock.close()
            # asyncio has a text of its own in place of the system's.
            refusal = OSError(error.errno, os.strerror(error.errno)) if error.errno else error
        except BaseException:
            sock.close()
            raise
    raise refusal


async def _addresses(address: str, port: int) -> list[tuple[int, tuple[Any, ...]]]:
    """A number as it is; a name by the resolver, which has threads of its own."""
    try:
        version = ipaddress.ip_address(address).version
    except ValueError:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(address, port, type=socket.SOCK_STREAM)
        return [(family, at) for family, _, _, _, at in found]
    return [(socket.AF_INET if version == 4 else socket.AF_INET6, (address, port))]


class _Outbox:
    """Stands where http.client wants a socket to send its request into."""

    def __init__(self) -> None:
        self.sent = b""

    def sendall(self, data: bytes) -> None:
        self.sent += data


def _request(question: HttpQuestion, address: str, port: int) -> bytes:
    outbox = _Outbox()
    connection = http.client.HTTPConnection(address, port)
    connection.sock = outbox
    send_request(connection, question.method, question.url, question.body)
    return outbox.sent


class _Arrived:
    """Stands where http.client wants a socket to read an answer's head from."""

    def __init__(self, head: bytes) -> None:
        self._head = head

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._head)


def _parsed(head: bytes, method: str) -> http.client.HTTPResponse:
    arrived = cast(socket.socket, _Arrived(head))
    answer = http.client.HTTPResponse(arrived, method=method)
    answer.begin()
    return answer


async def _head(reader: asyncio.StreamReader, method: str) -> http.client.HTTPResponse:
    while True:
        head = first = await _line(reader, "status line")
        interim = first.split(None, 2)[1:2] == [b"100"]
        if not interim and not ORDINARY.match(first):
            # One that speaks no HTTP may never send the end of a head.
            _parsed(first, method)
        for _ in range(LINES_LIMIT):
            line = await _line(reader, "header line")
            head += line
            if line in BLANK:
                break
        if not interim:
            return _parsed(head, method)


async def _line(reader: asyncio.StreamReader, what: str) -> bytes:
    try:
        return await reader.readline()
    except ValueError as error:
        raise http.client.LineTooLong(what) from error


Keep = Callable[[bytes], None]


async def _plain(reader: asyncio.StreamReader, length: int | None, keep: Keep) -> None:
    """So many bytes, or all until the connection is closed."""
    while length is None or length > 0:
        piece = await reader.read(LINE_LIMIT if length is None else min(length, LINE_LIMIT))
        if not piece:
            break
        keep(piece)
        length = None if length is None else length - len(piece)
    if length:
        raise http.client.IncompleteRead(b"", length)


async def _chunks(reader: asyncio.StreamReader, keep: Keep) -> None:
    while length := _chunk_length(await _line(reader, "chunk size")):
        await _plain(reader, length, keep)
        await _plain(reader, 2, lambda _: None)
    while await _line(reader, "trailer line") not in BLANK:
        pass


def _chunk_length(line: bytes) -> int:
    try:
        return max(int(line.partition(b";")[0], 16), 0)
    except ValueError as error:
        raise http.client.IncompleteRead(b"") from error
