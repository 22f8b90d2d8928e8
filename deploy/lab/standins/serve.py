"""What all stand-ins share: listening, answering, and telling systemd that they are ready.

A signal makes a stand-in answer wrongly, for as long as this process lives: SIGUSR1 with a
body that says unhealthy, SIGUSR2 as another program would that has got hold of the port;
SIGHUP makes it honest again.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType
from typing import Any

#: path -> (status, content type, body), or None for a path that is not there.
Answer = Callable[[str], tuple[int, str, bytes] | None]


#: What is said in the place of an honest answer.
Lie = Callable[[tuple[int, str, bytes]], tuple[int, str, bytes]]


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


def unhealthy(answer: tuple[int, str, bytes]) -> tuple[int, str, bytes]:
    """The same answer but for its status, where it has one."""
    code, kind, content = answer
    body = json.loads(content) if kind == "application/json" else {}
    return as_json({**body, "status": "unhealthy"}, code) if "status" in body else answer


def of_another(_answer: tuple[int, str, bytes]) -> tuple[int, str, bytes]:
    return 200, "text/html", b"<!doctype html><title>It works!</title><h1>It works!</h1>"


def honest(answer: tuple[int, str, bytes]) -> tuple[int, str, bytes]:
    return answer


LIES: dict[int, Lie] = {
    signal.SIGUSR1: unhealthy,
    signal.SIGUSR2: of_another,
    signal.SIGHUP: honest,
}


class Handler(BaseHTTPRequestHandler):
    """Passes GET to the server's `answer`; a stand-in that takes POST adds it."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        found = self.server.answer(self.path.partition("?")[0])
        self.reply(found or as_json({"error": "not found"}, 404))

    def reply(self, answer: tuple[int, str, bytes]) -> None:
        status, kind, content = self.server.lie(answer)
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
        self.lie: Lie = honest
        for number in LIES:
            signal.signal(number, self.turn)
        address = (setting("LISTEN", "127.0.0.1"), int(setting("PORT", port)))
        super().__init__(address, handler)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        say(f"listening on {address[0]}:{address[1]}")

    def turn(self, number: int, _frame: FrameType | None) -> None:
        self.lie = LIES[number]
