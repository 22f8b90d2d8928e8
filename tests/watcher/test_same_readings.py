"""The watcher's reading of a service is the one that a Host's would be, but for the times.

Both ask the same server, so that whoever verifies a recovery sees what opened the incident.
"""

from __future__ import annotations

import asyncio
import resource
import ssl
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.asking import ask
from tasks.asking import Probe, take_reading
from tasks.contract import Json, Kind, Reading
from tasks.host import LocalHost
from tasks.probes.http import http
from tasks.probes.redis import redis
from tasks.probes.tcp import tcp
from tests.contracts.certificates import Authority, Certificate, authority
from tests.watcher.servers import HEALTHY, Behaviour, closed_port, page, says, serving

HOST = LocalHost()


def both(probe: Probe[Any], arguments: Mapping[str, Json]) -> Reading:
    """The reading, if both ways give the same."""
    there = take_reading(HOST, probe, arguments, vantage="coordinator")
    here = asyncio.run(asked(probe, arguments))
    assert timeless(here) == timeless(there)
    return here


async def asked(probe: Probe[Any], arguments: Mapping[str, Json], seconds: float = 10.0) -> Reading:
    reading = await ask(
        probe, arguments, "coordinator", read=HOST.read, clock=time.time, seconds=seconds
    )
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return reading


def timeless(reading: Reading) -> Reading:
    metrics = {k: v for k, v in reading.metrics.items() if k != "response_seconds"}
    return replace(reading, asked_at=0.0, latency_s=0.0, metrics=metrics)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

ANSWERS: dict[str, tuple[Behaviour, Kind, str]] = {
    "healthy": (says(page()), Kind.GOOD, "answers as expected"),
    "keeps the connection": (says(page(), hang=True), Kind.GOOD, "answers as expected"),
    "slow": (says(b"", page(), pause=0.1), Kind.GOOD, "answers as expected"),
    "in small pieces": (
        says(*(bytes([each]) for each in page()), pause=0.001),
        Kind.GOOD,
        "answers as expected",
    ),
    "until the end": (says(b"HTTP/1.0 200 OK\r\n\r\n" + HEALTHY), Kind.GOOD, "as expected"),
    "after an interim answer": (
        says(b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n" + page()),
        Kind.GOOD,
        "as expected",
    ),
    "chunked": (
        says(CHUNKED + b'9;x=y\r\n{"status"\r\n', b'c\r\n: "healthy"}\r\n0\r\nX: y\r\n\r\n'),
        Kind.GOOD,
        "as expected",
    ),
    "chunked, breaks off": (says(CHUNKED + b'9\r\n{"st'), Kind.SILENT, "broke off before its end"),
    "chunked, no number": (says(CHUNKED + b"what\r\n"), Kind.SILENT, "broke off before its end"),
    "wrong status": (says(page(status="502 Bad Gateway")), Kind.BAD, "answers 502, not 200"),
    "says unhealthy": (says(page(b'{"status": "unhealthy"}')), Kind.BAD, "unhealthy"),
    "wrong shape": (says(page(b"[1, 2]")), Kind.BAD, "status"),
    "no JSON": (says(page(b"<html>")), Kind.BAD, "does not answer with JSON"),
    "wants a login": (says(page(status="401 Unauthorized")), Kind.BARRED, "does not let"),
    "huge body": (says(page(b"x" * 3_000_000 + HEALTHY)), Kind.BAD, "JSON"),
    "redirects": (says(page(b"", "302 Found", "Location: /\r\n")), Kind.BAD, "answers 302"),
    "no content": (says(b"HTTP/1.1 204 No Content\r\n\r\n", hang=True), Kind.BAD, "answers 204"),
    "closes at once": (says(), Kind.SILENT, "without response"),
    "half a body": (says(page()[:-5]), Kind.SILENT, "broke off before its end"),
    "half a head": (says(b"HTTP/1.1 200 OK\r\nContent-"), Kind.BAD, "JSON"),
    "not HTTP": (says(b"-ERR unknown command\r\n", hang=True), Kind.SILENT, "-ERR unknown"),
    "newer HTTP": (says(b"HTTP/3 200 OK\r\n", hang=True), Kind.SILENT, "HTTP/3"),
    "long header": (
        says(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n"),
        Kind.SILENT,
        "more than 65536 bytes",
    ),
    "many headers": (
        says(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200, hang=True),
        Kind.SILENT,
        "more than 100 headers",
    ),
    "hangs": (says(hang=True), Kind.SILENT, "no complete answer in time"),
    "hangs in its body": (says(page()[:-5], hang=True), Kind.SILENT, "no complete answer in time"),
    "dribbles": (
        says(*([b"HTTP/1.1 200 OK\r\n\r\n"] + [b"x"] * 100), pause=0.05),
        Kind.SILENT,
        "no complete answer in time",
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_http(name: str) -> None:
    behaviour, kind, reason = ANSWERS[name]
    with serving(behaviour) as server:
        wanted = {"url": server.url, "json": {"status": "healthy"}, "seconds": 0.6}
        reading = both(http, wanted)
        assert (reading.kind, reason in reading.reason) == (kind, True), reading.reason
        # Not one byte of the request tells who asked.
        assert server.heard[0] == server.heard[1]


@pytest.mark.parametrize(
    ("behaviour", "kind", "reason"),
    [
        (says(b"-LOADING Redis is loading\r\n-LOADING Redis is loading\r\n"), Kind.BUSY, "loads"),
        (says(b"-NOAUTH Authentication required.\r\n", b"-NOAUTH\r\n"), Kind.BARRED, "let"),
        (says(b"+PONG\r\n"), Kind.BAD, "closed before INFO"),
        (says(), Kind.BAD, "closed the connection"),
        (says(hang=True), Kind.SILENT, "no complete answer in time"),
        (says(b"$999999\r\n" + b"x" * 300_000, hang=True), Kind.SILENT, "longer than 256 KiB"),
    ],
)
def test_redis(behaviour: Behaviour, kind: Kind, reason: str) -> None:
    with serving(behaviour) as server:
        reading = both(redis, {"address": "127.0.0.1", "port": server.port, "seconds": 0.5})
        assert (reading.kind, reason in reading.reason) == (kind, True), reading.reason


def test_where_nobody_listens() -> None:
    port = closed_port()
    for reading in (
        both(tcp, {"address": "127.0.0.1", "port": port}),
        both(http, {"url": f"http://127.0.0.1:{port}/"}),
        both(http, {"url": f"https://127.0.0.1:{port}/"}),
        both(tcp, {"address": "localhost", "port": port}),
    ):
        assert (reading.kind, "Connection refused" in reading.reason) == (Kind.CLOSED, True)


def test_names_and_what_is_none() -> None:
    assert both(tcp, {"address": "nobody.invalid", "port": 1}).kind is Kind.SILENT
    for url in ("http://127.0.0.1:99999/", "http://[::1/", "http://", "ftp://127.0.0.1:1/"):
        assert both(http, {"url": url, "seconds": 0.5}).error
    missing = both(http, {"url": "https://127.0.0.1:1/", "ca_file": "/nowhere/ca.pem"})
    assert missing.kind is Kind.UNKNOWN


def test_a_port_that_accepts() -> None:
    with serving(says()) as server:
        assert both(tcp, {"address": "127.0.0.1", "port": server.port}).kind is Kind.GOOD
        assert both(tcp, {"address": "localhost", "port": server.port}).kind is Kind.GOOD


def test_the_watchs_own_timeout_bounds_the_question() -> None:
    with serving(says(hang=True)) as server:
        reading = asyncio.run(asked(http, {"url": server.url, "seconds": 60.0}, seconds=0.2))
    assert (reading.kind, reading.latency_s < 10) == (Kind.SILENT, True)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def certificate(ours: Authority) -> Certificate:
    return ours.sign("server")


@pytest.fixture
def tls(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.file, certificate.key)
    return context


def test_tls_that_is_trusted(
    tls: ssl.SSLContext, ours: Authority, certificate: Certificate
) -> None:
    for trust in (
        {"ca_file": str(ours.ca.file)},
        {"pin_sha256": certificate.pin},
        {"ca_file": str(ours.ca.file), "pin_sha256": certificate.pin},
    ):
        with serving(says(page(), hang=True), tls) as server:
            assert both(http, {"url": server.url, **trust}).kind is Kind.GOOD
        with serving(says(b"-NOAUTH\r\n-NOAUTH\r\n"), tls) as server:
            wanted = {"address": "127.0.0.1", "port": server.port, "tls": True, **trust}
            assert both(redis, wanted).kind is Kind.BARRED


def test_tls_of_a_stranger(tls: ssl.SSLContext, ours: Authority, tmp_path: Path) -> None:
    other = authority(tmp_path, "other")
    for trust in (
        {},
        {"ca_file": str(other.ca.file)},
        {"pin_sha256": other.ca.pin},
        {"ca_file": str(ours.ca.file), "pin_sha256": other.ca.pin},
    ):
        with serving(says(page()), tls) as server:
            reading = both(http, {"url": server.url, **trust})
            assert (reading.kind, "not trusted" in reading.reason) == (Kind.SILENT, True)
            assert server.heard == []


@pytest.mark.parametrize(
    "behaviour",
    [says(page()), says(), says(hang=True), says(b"\x15\x03\x01\x00\x02\x02\x28")],
)
def test_no_tls_at_all(behaviour: Behaviour, certificate: Certificate) -> None:
    with serving(behaviour) as server:
        url = f"https://127.0.0.1:{server.port}/"
        reading = both(http, {"url": url, "pin_sha256": certificate.pin, "seconds": 0.5})
        assert reading.kind is Kind.SILENT


def test_a_shortage_of_our_own_is_no_outage() -> None:
    with serving(says(page())) as server:
        now, most = resource.getrlimit(resource.RLIMIT_NOFILE)

        async def without_files() -> Reading:
            resource.setrlimit(resource.RLIMIT_NOFILE, (1, most))
            try:
                return await asked(http, {"url": server.url})
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (now, most))

        reading = asyncio.run(without_files())
    assert (reading.kind, "this machine cannot ask" in reading.reason) == (Kind.UNKNOWN, True)


def test_standing_still_ourselves_is_no_outage() -> None:
    async def stood_still() -> Reading:
        asyncio.get_running_loop().call_later(0.05, time.sleep, 1.5)
        return await asked(http, {"url": server.url}, seconds=0.5)

    with serving(says(b"", page(), pause=0.2)) as server:
        reading = asyncio.run(stood_still())
    assert (reading.kind, "this machine stood still" in reading.reason) == (Kind.UNKNOWN, True)
