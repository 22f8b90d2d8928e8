"""Pings of a backup job against a real web server: start, success, failure, each once."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from orchestrator.backups import Backups
from orchestrator.notify.jobpings import AGAIN_SECONDS, JobPings
from tasks.contract import Outcome
from tasks.host import LocalHost
from tests.notify.test_deadman import TOKEN, serving
from tests.web.world import NIGHT, World, a_world


class Elsewhere:
    """Who hears of backups."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, str]] = []
        self.status = 200
        self.url = ""

    def paths(self) -> list[str]:
        return [path.removeprefix(f"/{TOKEN}") for _, path, _ in self.heard]


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    kept = Elsewhere()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            kept.heard.append((self.command, self.path, body))
            self.send_response(kept.status)
            self.end_headers()

        def do_GET(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            self.answer()

        def log_message(self, *_: object) -> None:
            pass

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        kept.url = f"http://127.0.0.1:{server.server_port}/{TOKEN}"
        yield kept


@pytest.fixture
def world() -> Iterator[World]:
    with a_world() as made:
        yield made


class Pinged:
    def __init__(self, world: World, url: str) -> None:
        self.world, self.ahead = world, 0.0
        now = world.coordinator.now
        world.coordinator.now = lambda: now() + self.ahead
        self.backups = Backups(world.coordinator, {"night": replace(NIGHT, ping=url)})
        self.pings = self.again()

    def again(self) -> JobPings:
        return JobPings(self.backups, LocalHost())

    def take(self) -> str:
        return self.backups.take("night", reason="a test").run

    def end(self, outcome: Outcome, reason: str) -> None:
        self.world.report(self.world.orders()[-1], outcome, reason)
        for run, effect in self.world.publisher.published[-1:]:
            if outcome is Outcome.DONE:
                self.world.coordinator.check(run, effect.rung, effect.branch, 1.0)


def test_start_and_success_are_said_once_also_after_a_restart(
    world: World, elsewhere: Elsewhere
) -> None:
    here = Pinged(world, elsewhere.url)
    here.take()
    here.pings.tick()
    assert elsewhere.paths() == ["/start"]
    here.end(Outcome.DONE, "proved")
    for pings in (here.pings, here.again()):
        pings.tick()
    assert elsewhere.paths() == ["/start", ""]


def test_a_failure_is_said_with_its_reason(world: World, elsewhere: Elsewhere) -> None:
    here = Pinged(world, elsewhere.url)
    here.take()
    here.end(Outcome.FAILED, "no dump was taken: the disk is full")
    here.pings.tick()
    assert elsewhere.paths() == ["/start", "/fail"]
    method, _, body = elsewhere.heard[-1]
    assert method == "POST"
    assert "the disk is full" in body


def test_one_that_was_not_taken_is_tried_again_and_its_url_is_in_no_log(
    world: World, elsewhere: Elsewhere, caplog: pytest.LogCaptureFixture
) -> None:
    here = Pinged(world, elsewhere.url)
    elsewhere.status = 503
    here.take()
    with caplog.at_level(logging.INFO):
        here.pings.tick()
        here.pings.tick()
    assert elsewhere.paths() == ["/start"], "not at once"
    assert "503" in caplog.text
    assert TOKEN not in caplog.text
    elsewhere.status = 200
    here.ahead += AGAIN_SECONDS + 1
    here.pings.tick()
    here.pings.tick()
    assert elsewhere.paths() == ["/start", "/start"]


def test_nobody_there_is_no_more_than_a_warning(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)  # a worker of another test may have left it higher
    here = Pinged(world, f"http://127.0.0.1:1/{TOKEN}")
    here.take()
    here.pings.tick()
    assert "refused" in caplog.text
    assert TOKEN not in caplog.text


def test_what_is_long_over_is_no_news(world: World, elsewhere: Elsewhere) -> None:
    here = Pinged(world, elsewhere.url)
    here.take()
    here.ahead += 7200
    here.pings.tick()
    assert elsewhere.heard == []


def test_a_job_without_a_url_pings_nobody(world: World) -> None:
    pings = JobPings(Backups(world.coordinator, {"night": NIGHT}), LocalHost())
    assert not pings.wanted
    pings.tick()
