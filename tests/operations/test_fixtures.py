"""Runs every fixture beside it: tests/operations/OPERATION/CASE.yaml, or probe.PROBE/CASE.yaml.

A fixture says what is asked of a machine and what it answers, in order, and what comes of it:

    arguments   of the operation or probe
    machine     the exchanges, each with `ask` and its answer:
                  but                 of `show: UNIT` instead of ask: what differs from RUNNING
                  out, err, exit      of a command (exit null: its deadline passed)
                  text                of a file (null: it is not there)
                  status, body        of an HTTP request (body may be JSON, or a list of lines)
                  replies             of Redis (a mapping stands for INFO: what differs from INFO)
                  info, config        of a Redis that is asked about everything: what differs
                                      from INFO, and its settings
                  received            of any other connection
                  fault, refused      no answer; for `refused` nothing listens there
                and `took`, the seconds that pass meanwhile
    seconds     the deadline; the operation's own if not given
    before      what a look had seen before a crash: then the order is judged without acting,
                and by one look where no `seconds` are given
    outcome, reason, detail, told      of an operation
    kind                               of a probe: how the reading is sorted, good if not given
    answer, complaints, error          the same; none if not given
    metrics                            the same, without response_seconds

A new path through an operation gets a new fixture here, and no new test.
"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks import catalog, systemd
from tasks.backup import discovery, evidence
from tasks.contract import Kind, Reading
from tasks.fake import Exchange, FakeHost
from tasks.host import HostFault, HttpReply, NobodyListens, Ran
from tasks.operation import (
    Probe,
    Tell,
    carry_out,
    read_arguments,
    reading_of,
    reconsider,
    take_reading,
)
from tasks.probes import browser, openvino

HERE = Path(__file__).parent
PROBE = "probe."
CASES = sorted(HERE.glob("*/*.yaml"))
#: So that a fixture shows what is particular to it.
LONG_WORDS = {
    "{properties}": ",".join(systemd.PROPERTIES),
    "{flags}": shlex.join(browser.FLAGS),
    "{script}": shlex.quote(openvino.SCRIPT),
    "{python}": sys.executable,
    "{count}": shlex.quote(evidence.SCRIPT),
    "{unit properties}": ",".join(discovery.PROPERTIES),
    "{everything}": " ".join(
        ("INFO everything", *(f"CONFIG GET {name}" for name in discovery.ASKED), "MODULE LIST")
    ),
}
#: What systemctl shows of a unit that runs, and what Redis says of itself.
RUNNING = {
    "LoadState": "loaded",
    "UnitFileState": "enabled",
    "ActiveState": "active",
    "SubState": "running",
    "Result": "success",
    "NRestarts": 0,
    "MainPID": 100,
    "InvocationID": "old",
    "ActiveEnterTimestampMonotonic": 1_000_000,
    "ExecMainStatus": 0,
    "InactiveExitTimestampMonotonic": 1_000_000,
}
INFO = {
    "redis_version": "7.0.15",
    "role": "master",
    "loading": 0,
    "connected_clients": 3,
    "used_memory": 1000,
    "maxmemory": 0,
    "total_system_memory": 8000,
    "rdb_last_bgsave_status": "ok",
    "aof_last_write_status": "ok",
    "run_id": "abc",
    "uptime_in_seconds": 9,
    "db0": "keys=5,expires=0,avg_ttl=0",
    "db3": "keys=2,expires=0,avg_ttl=0",
}


def read(case: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(case.read_text())
    return content


def exchange(said: dict[str, Any]) -> Exchange:
    ask = said.get("ask") or f"systemctl show --property={{properties}} -- {said['show']}"
    for short, long in LONG_WORDS.items():
        ask = ask.replace(short, long)
    return Exchange(ask, answer(said), said.get("took", 0.0))


def answer(said: dict[str, Any]) -> Ran | HttpReply | bytes | str | HostFault | None:
    if "fault" in said:
        return HostFault(said["fault"])
    if "refused" in said:
        return NobodyListens(said["refused"])
    if "text" in said:
        text: str | None = said["text"]
        return text
    if "status" in said:
        return HttpReply(said["status"], body(said.get("body", "")))
    if "replies" in said:
        return b"".join(reply(each) for each in said["replies"])
    if "info" in said:
        config = said.get("config", {})
        known = [[name, config[name]] if name in config else [] for name in discovery.ASKED]
        return b"".join(reply(each) for each in (said["info"], *known, []))
    if "received" in said:
        return str(said["received"]).encode()
    if "show" in said:
        shown = {**RUNNING, **said.get("but", {})}
        return Ran(0, "".join(f"{name}={value}\n" for name, value in shown.items()), "")
    return Ran(said.get("exit", 0), said.get("out", ""), said.get("err", ""))


def body(said: Any) -> bytes:
    if isinstance(said, list):
        return b"".join(body(each) + b"\n" for each in said)
    return said.encode() if isinstance(said, str) else json.dumps(said).encode()


def reply(said: Any) -> bytes:
    if isinstance(said, str):
        return f"{said}\r\n".encode()
    if isinstance(said, list):
        words = "".join(f"${len(word)}\r\n{word}\r\n" for word in said)
        return f"*{len(said)}\r\n{words}".encode()
    text = "".join(f"{name}:{value}\r\n" for name, value in {**INFO, **said}.items())
    return f"${len(text)}\r\n{text}\r\n".encode()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}/{case.stem}")
def test_fixture(case: Path) -> None:
    wanted = read(case)
    host = FakeHost(exchange(each) for each in wanted.get("machine", ()))
    name = case.parent.name
    if name.startswith(PROBE):
        check_probe(host, name.removeprefix(PROBE), wanted)
    else:
        check_operation(host, name, wanted)
    host.finish()


def check_operation(host: FakeHost, name: str, wanted: dict[str, Any]) -> None:
    operation = catalog.operations()[name]
    told: list[str] = []
    if "before" in wanted:
        ends = wanted.get("seconds", 0.0)
        result = reconsider(host, operation, wanted["arguments"], wanted["before"], ends=ends)
    else:
        result = carry_out(
            host,
            operation,
            wanted["arguments"],
            ends=wanted.get("seconds", operation.seconds),
            # What is journalled must survive the journal.
            begun=lambda seen: operation.seen(**json.loads(json.dumps(seen))),
            tell=Tell(told.append),
        )
    assert (result.outcome, result.reason) == (wanted["outcome"], wanted["reason"])
    assert result.detail == wanted.get("detail", result.detail)
    assert told == wanted.get("told", told)


def check_probe(host: FakeHost, name: str, wanted: dict[str, Any]) -> None:
    probe = catalog.probes()[name]
    reading = take_reading(host, probe, wanted["arguments"], vantage="here")
    assert reading.complaints == tuple(wanted.get("complaints", ()))
    assert reading.error == wanted.get("error", "")
    assert reading.kind is Kind(wanted.get("kind", "good"))
    assert reading.healthy == (reading.kind is Kind.GOOD)
    assert dict(reading.answer) == wanted.get("answer", reading.answer)
    metrics = dict(reading.metrics)
    assert metrics.pop("response_seconds", None) == (None if reading.error else reading.latency_s)
    assert metrics == wanted.get("metrics", metrics)
    assert Reading.from_wire(json.loads(json.dumps(reading.to_wire()))) == reading
    assert probe.pose is None or put_by_another(probe, wanted, reading) == reading


def put_by_another(probe: Probe[Any], wanted: dict[str, Any], like: Reading) -> Reading:
    """The same question, put by somebody who has no Host for it, as the watcher does."""
    bound = read_arguments(probe.arguments, wanted["arguments"])
    files = FakeHost(exchange(each) for each in wanted["machine"])
    assert probe.pose
    reply: Any
    try:
        probe.pose(files.read, bound)
        reply = answer(wanted["machine"][-1])
    except HostFault as fault:
        reply = fault
    return reading_of(
        probe,
        bound,
        vantage=like.vantage,
        asked_at=like.asked_at,
        latency_s=like.latency_s,
        reply_or_fault=reply,
    )


def test_every_operation_and_probe_has_a_fixture() -> None:
    there = {each.parent.name for each in CASES}
    wanted = {*catalog.operations(), *(PROBE + each for each in catalog.probes())}
    assert there == wanted


def test_every_kind_of_reading_has_a_fixture() -> None:
    kinds = {read(each).get("kind", "good") for each in CASES if each.parent.name.startswith(PROBE)}
    assert kinds == set(Kind)


@pytest.mark.parametrize("name", sorted(catalog.operations()))
def test_every_operation_that_acts_has_a_fixture_for_a_crash(name: str) -> None:
    cases = [read(each) for each in (HERE / name).glob("*.yaml")]
    if catalog.operations()[name].only_looks or all(each["outcome"] == "refused" for each in cases):
        return
    assert [each for each in cases if "before" in each], "no fixture has `before`"
