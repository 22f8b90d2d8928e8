"""Servers on loopback that answer as badly as servers do, in a thread of their own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

HEALTHY = b'{"status": "healthy"}'


def page(body: bytes = HEALTHY, status: str = "200 OK", headers: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


def says(*pieces: bytes, pause: float = 0.0, hang: bool = False) -> Behaviour:
    """Waits for the question, sends the pieces, and closes or hangs."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)
        if hang:
            await reader.read()

    return behave


class Server:
    """`heard` is what was sent to it, one entry a connection that sent something."""

    def __init__(self, behaviour: Behaviour, tls: ssl.SSLContext | None) -> None:
        self.behaviour, self.heard, self.open_now = behaviour, list[bytes](), 0
        self._tls, self._socket = tls, socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = int(self._socket.getsockname()[1])
        self._writers: list[asyncio.StreamWriter] = []
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(lambda _loop, _context: None)
        self._thread = threading.Thread(target=self._run)
        self._listening = threading.Event()
        self._thread.start()
        self._listening.wait()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/health?deep=1"

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._listen())
            self._listening.set()
            self._loop.run_forever()
            for writer in self._writers:
                writer.transport.abort()
        self._socket.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, sock=self._socket, ssl=self._tls)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open_now += 1
        self._writers.append(writer)
        with contextlib.suppress(OSError):
            await self.behaviour(_Noting(reader, self.heard), writer)
        writer.close()
        self.open_now -= 1


class _Noting(asyncio.StreamReader):
    def __init__(self, reader: asyncio.StreamReader, heard: list[bytes]) -> None:
        self._from, self._heard = reader, heard

    async def read(self, n: int = -1) -> bytes:
        if got := await self._from.read(n):
            self._heard.append(got)
        return got


@contextlib.contextmanager
def serving(behaviour: Behaviour, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(behaviour, tls)
    try:
        yield server
    finally:
        server.close()


def closed_port() -> int:
    """A port at which nobody listens: it was just given back."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
