"""Stands in for AutoBot's backend: the same health answer, the same start-up phases.

Like the real one it always answers 200 and says in the body how it is; it waits for Redis
while starting, and keeps asking Redis afterwards, so its health is really observed. For
INITIALISING_SECONDS after its start what stands before it answers 502 in its place.
Settings: LISTEN, PORT, REDIS, REDIS_PORT, REDIS_WAIT, PHASE_SECONDS, INITIALISING_SECONDS, LOG.
"""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

from .serve import Server, as_json, ready, say, setting, timestamp

PHASES = ("starting", "phase1", "phase2", "ready")


class Backend:
    def __init__(self) -> None:
        self.phase = PHASES[0]
        self.redis = "unknown"
        self.log = Path(setting("LOG", "/var/log/autobot/backend.log"))
        self.started = time.monotonic()
        self.answers_at = self.started + float(setting("INITIALISING_SECONDS", "0"))

    def answer(self, path: str) -> tuple[int, str, bytes] | None:
        if time.monotonic() < self.answers_at:
            return 502, "text/html", b"<html><h1>502 Bad Gateway</h1></html>"
        if path == "/":
            return as_json({"service": "autobot-backend"})
        if path != "/api/health":
            return None
        fine = self.redis == "healthy"
        status = "healthy" if fine and self.phase == "ready" else "degraded"
        if not fine and self.phase == "ready":
            status = "unhealthy"
        return as_json(
            {
                "status": status,
                "timestamp": timestamp(),
                "initialization": {"status": self.phase},
                "components": {"redis": self.redis, "api": "healthy"},
                "uptime_seconds": round(time.monotonic() - self.started, 3),
            }
        )

    def write(self, line: str) -> None:
        say(line)
        with self.log.open("a") as log:
            log.write(f"{timestamp()} {line}\n")

    def initialize(self) -> None:
        """The phases of the real start: settings, then Redis, then the knowledge base."""
        time.sleep(max(0.0, self.answers_at - time.monotonic()))
        pause = float(setting("PHASE_SECONDS", "0.1"))
        time.sleep(pause)
        self.enter("phase1")
        ends = time.monotonic() + float(setting("REDIS_WAIT", "10"))
        self.look()
        while self.redis != "healthy" and time.monotonic() < ends:
            time.sleep(0.05)
            self.look()
        time.sleep(pause)
        self.enter("phase2")
        time.sleep(pause)
        self.enter("ready")
        ready()

    def enter(self, phase: str) -> None:
        self.phase = phase
        self.write(f"INFO initialization: {phase}")

    def look(self) -> None:
        seen = ping(setting("REDIS", "172.16.168.23"), int(setting("REDIS_PORT", "6379")))
        if seen != self.redis:
            level = "INFO" if seen == "healthy" else "ERROR"
            self.write(f"{level} redis is {seen}")
        self.redis = seen

    def watch(self) -> None:
        while True:
            time.sleep(0.5)
            self.look()


def ping(address: str, port: int) -> str:
    """What Redis says. A reply that is no PONG (LOADING, NOAUTH) is unhealthy, not healthy."""
    try:
        with socket.create_connection((address, port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            reply = connection.recv(512).decode(errors="replace").strip()
    except OSError as error:
        return f"unreachable: {error.strerror or error}"
    return "healthy" if reply == "+PONG" else f"unhealthy: {reply.lstrip('-') or 'no answer'}"


def main() -> None:
    backend = Backend()
    backend.log.parent.mkdir(parents=True, exist_ok=True)
    server = Server("8001", backend.answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    backend.initialize()
    backend.watch()


if __name__ == "__main__":
    main()
