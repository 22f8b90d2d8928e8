"""The dead man's switch against a real web server: pinged while all is well, and only then."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from orchestrator.contactfile import DeadMan
from orchestrator.notify.deadman import DeadManSwitch, Pinged
from tasks.host import LocalHost
from tests.integration.rig import free_port, wait_for

TOKEN = "s3cret-token"


class Elsewhere:
    """Who waits for pings."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.status = 200
        self.url = ""


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    kept = Elsewhere()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kept.paths.append(self.path)
            self.send_response(kept.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        kept.url = f"http://127.0.0.1:{server.server_port}/{TOKEN}"
        yield kept


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[ThreadingHTTPServer]:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def switch(url: str, *complaints: str, every: float = 60.0) -> DeadManSwitch:
    return DeadManSwitch(DeadMan(url, every), LocalHost(), lambda: complaints, time.time)


def test_it_is_pinged_on_its_schedule(elsewhere: Elsewhere) -> None:
    made = switch(elsewhere.url, every=0.05)
    made.start()
    wait_for("three pings", lambda: len(elsewhere.paths) >= 3)
    assert set(elsewhere.paths) == {f"/{TOKEN}"}
    made.stop()
    time.sleep(0.2)
    pings = len(elsewhere.paths)
    time.sleep(0.3)
    assert len(elsewhere.paths) == pings
    assert made.last.at is not None
    assert made.last.problem == ""


def test_nothing_is_sent_while_anything_is_wrong(elsewhere: Elsewhere) -> None:
    made = switch(elsewhere.url, "the store does not answer", "the watcher is late")
    made.ping()
    assert elsewhere.paths == []
    problem = "not pinged, because the store does not answer; the watcher is late"
    assert made.last == Pinged(None, problem)


def test_what_cannot_even_be_judged_is_not_well(elsewhere: Elsewhere) -> None:
    def broken() -> list[str]:
        raise RuntimeError("a fault of ours")

    made = DeadManSwitch(DeadMan(elsewhere.url, 60.0), LocalHost(), broken, time.time)
    made.ping()
    assert elsewhere.paths == []
    assert made.last.problem == "not pinged: RuntimeError"


def test_a_failed_ping_is_told_without_its_url(
    elsewhere: Elsewhere, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made = switch(elsewhere.url)
    made.ping()
    before = made.last.at
    elsewhere.status = 503
    for _ in range(2):
        made.ping()
    assert made.last == Pinged(before, "the ping was answered with 503")
    assert len(caplog.records) == 1, "a problem is told when it begins, not at every ping"
    elsewhere.status = 200
    made.ping()
    assert made.last.problem == ""
    gone = switch(f"http://127.0.0.1:{free_port()}/{TOKEN}")
    gone.ping()
    assert gone.last.problem.startswith("the ping failed: ")
    assert TOKEN not in caplog.text + gone.last.problem
