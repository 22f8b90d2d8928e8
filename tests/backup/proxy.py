"""A link that can be cut: bytes are passed on between two ports until it is told to stop.

What is in it when it is cut is lost, as on a real link; nobody is told by a closed connection.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.integration.rig import free_port

CHUNK = 64 * 1024


class Proxy:
    def __init__(self, target: int) -> None:
        self.port, self._target = free_port(), target
        self.passed = 0  #: bytes towards the client
        self.stop_after: int | None = None  #: so many bytes and the link is cut
        self.at_most: int | None = None  #: so many connections, and the next ends them all
        self._cut, self._over = threading.Event(), threading.Event()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def cut(self) -> None:
        """From now on nothing gets through, and nobody hears of it."""
        self._cut.set()

    def mend(self) -> None:
        """Through again, for new connections; those of before are closed now."""
        self.stop_after = None
        self._cut.clear()
        self.drop()

    def drop(self) -> None:
        """Close every connection."""
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._over.set()
        self._cut.clear()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self.drop()
        for each in self._threads:
            each.join(5)
        for one in (*self._open, self._listener):
            one.close()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.at_most is not None and len(self._open) >= 2 * self.at_most:
                client.close()
                self.drop()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
            except OSError:
                client.close()
                continue
            self._open += [client, server]
            thread = threading.Thread(target=self._pass, args=(client, server))
            self._threads.append(thread)
            thread.start()

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        while not self._over.is_set():
            if self._cut.is_set():
                self._over.wait(0.02)
                if client.fileno() < 0 or _closed(client):
                    return
                continue
            for each in select.select([client, server], [], [], 0.05)[0]:
                other = server if each is client else client
                try:
                    data = each.recv(CHUNK)
                    if self._cut.is_set():
                        continue
                    if data:
                        other.sendall(data)
                except OSError:
                    data = b""
                if not data:
                    for one in (client, server):
                        with contextlib.suppress(OSError):
                            one.shutdown(socket.SHUT_RDWR)
                    return
                if each is server:
                    self.passed += len(data)
                    if self.stop_after is not None and self.passed >= self.stop_after:
                        self.cut()


def _closed(connection: socket.socket) -> bool:
    """Whether this end was shut down; what waits in it stays there."""
    try:
        return bool(
            select.select([connection], [], [], 0)[0]
            and not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        )
    except OSError:
        return True


@contextmanager
def proxy(target: int) -> Iterator[Proxy]:
    made = Proxy(target)
    try:
        yield made
    finally:
        made.close()
