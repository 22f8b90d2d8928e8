"""What all stand-ins share: listening, answering, and telling systemd that they are ready."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: path -> (status, content type, body), or None for a path that is not there.
Answer = Callable[[str], tuple[int, str, bytes] | None]


def setting(name: str, default: str) -> str:
    return os.environ.get(name, default)


def say(line: str) -> None:
    print(line, flush=True)


def timestamp() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def ready() -> None:
    """Type=notify: the unit is active from here on."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.connect("\0" + address[1:] if address.startswith("@") else address)
            notify.send(b"READY=1")


def as_json(value: Any, status: int = 200) -> tuple[int, str, bytes]:
    return status, "application/json", json.dumps(value).encode()


class Handler(BaseHTTPRequestHandler):
    """Passes GET to the server's `answer`; a stand-in that takes POST adds it."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        found = self.server.answer(self.path.partition("?")[0])
        self.reply(found or as_json({"error": "not found"}, 404))

    def reply(self, answer: tuple[int, str, bytes]) -> None:
        status, kind, content = answer
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the parent's name)
        say(f"{self.client_address[0]} {format % args}")


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: str, answer: Answer, handler: type[Handler] = Handler) -> None:
        self.answer = answer
        address = (setting("LISTEN", "127.0.0.1"), int(setting("PORT", port)))
        super().__init__(address, handler)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        say(f"listening on {address[0]}:{address[1]}")
