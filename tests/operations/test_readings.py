"""Readings on the wire, and what a probe's arguments may be."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from tasks.arguments import BadArguments, read_arguments
from tasks.catalog import probes
from tasks.contract import Kind, Reading, WireError
from tasks.fake import Exchange, FakeHost
from tasks.host import HttpReply, LocalHost
from tasks.operation import take_reading

READING = Reading(
    "http", "npu", 12.5, 0.25, {"status": 500}, ("answers 500",), "", Kind.BAD, {"load": 1.0}
)


def test_a_reading_survives_the_wire() -> None:
    assert Reading.from_wire(json.loads(json.dumps(READING.to_wire()))) == READING


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"extra": 1}, "unknown field 'extra'"),
        ({"kind": "fine"}, "kind 'fine' is not one of the eight"),
        ({"kind": "good"}, "kind 'good' contradicts its reason 'answers 500'"),
        ({"complaints": []}, "kind 'bad' contradicts its reason 'answers as expected'"),
        ({"kind": None}, "'kind' has the wrong type"),
        ({"latency_s": math.nan}, "'latency_s' holds NaN"),
        ({"latency_s": True}, "'latency_s' has the wrong type"),
        ({"metrics": {"load": math.inf}}, "'metrics' holds NaN or Infinity"),
        ({"metrics": {"load": "1"}}, "a metric is not a number"),
        ({"metrics": {"load": True}}, "a metric is not a number"),
        ({"answer": {"deep": [{"er": math.nan}]}}, "'answer' holds NaN"),
        ({"complaints": [1]}, "a complaint is not text"),
        ({"complaints": "bad"}, "'complaints' has the wrong type"),
    ],
)
def test_a_reading_that_is_none_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(WireError, match=said):
        Reading.from_wire(READING.to_wire() | change)


@pytest.mark.parametrize("field", sorted(READING.to_wire()))
def test_a_reading_that_lacks_something_is_refused(field: str) -> None:
    message = READING.to_wire()
    del message[field]
    with pytest.raises(WireError, match=f"{field!r} is missing"):
        Reading.from_wire(message)


def test_what_is_no_mapping_is_refused() -> None:
    with pytest.raises(WireError, match="not a mapping but list"):
        Reading.from_wire([])  # type: ignore[arg-type]


URL = {"url": "https://10.0.0.5/"}


@pytest.mark.parametrize(
    ("probe", "arguments", "said"),
    [
        ("http", {"url": "http://10.0.0.5/", "ca_file": "/ca"}, "do nothing without TLS"),
        ("http", URL | {"pin_sha256": "abc"}, "must be a SHA-256 as 64 hex digits, not 'abc'"),
        ("redis", {"address": "a", "pin_sha256": "0" * 64}, "do nothing without TLS"),
        ("redis", {"address": "a", "expect_role": "boss"}, "must be master or replica"),
        ("http", URL | {"body_schema": {"pattern": "x"}}, "body_schema: 'pattern' is not known"),
        ("http", URL | {"body_schema": {"type": "text"}}, "'text' is no type"),
        ("http", URL | {"body_schema": {"required": "a"}}, "'required' must be a list"),
        ("http", URL | {"body_schema": {"properties": []}}, "'properties' must be a mapping"),
        (
            "http",
            URL | {"body_schema": {"properties": {"a": {"items": {"enum": 1}}}}},
            r"body_schema\.a\[\]: 'enum' must be a list",
        ),
        ("http", URL | {"body_schema": {"items": 1}}, r"body_schema\[\] must be a mapping, not 1"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(
    probe: str, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadArguments, match=said):
        read_arguments(probes()[probe].arguments, arguments)


@pytest.mark.parametrize("probe", ["http", "ollama", "redis", "tcp"])
@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\0\xff",
        b"null",
        b"{",
        b'{"status": [1]}',
        b"[" * 100_000,
        b"*1\r\n" * 100_000,
        b"$-1\r\n",
        b"*-1\r\n+PONG\r\n",
        b"+PONG\r\n$18\r\ndb0:keys=\r\nrole:x\r\n\r\n",
        b":\xc2\xb2\r\n",
    ],
)
def test_no_stranger_breaks_a_probe(probe: str, sent: bytes) -> None:
    """Whatever is answered, there is a reading that survives the wire."""
    cases: dict[str, tuple[dict[str, Any], str, str]] = {
        "http": (URL | {"keys": ["a.b"], "busy": {"a": 1}}, "GET https://10.0.0.5/", "http"),
        "ollama": (URL, "GET https://10.0.0.5/api/tags", "http"),
        "redis": ({"address": "10.0.0.5"}, "tcp 10.0.0.5:6379 PING INFO", "tcp"),
        "tcp": ({"address": "10.0.0.5", "port": 1}, "tcp 10.0.0.5:1", "tcp"),
    }
    arguments, question, reply = cases[probe]
    answer = HttpReply(200, sent) if reply == "http" else sent
    host = FakeHost([Exchange(question, answer)])
    reading = take_reading(host, probes()[probe], arguments, vantage="here")
    assert Reading.from_wire(json.loads(json.dumps(reading.to_wire()))) == reading
    if pose := probes()[probe].pose:
        asked = pose(lambda _: None, read_arguments(probes()[probe].arguments, arguments))
        assert getattr(asked, "complete", bool)(sent) in (True, False)


def test_this_machine_tells_its_own_use() -> None:
    reading = take_reading(LocalHost(), probes()["machine"], {}, vantage="here")
    assert reading.healthy, reading.reason
    for name in ("cpu_percent", "memory_percent", "disk_percent"):
        assert 0 <= reading.metrics[name] <= 100
