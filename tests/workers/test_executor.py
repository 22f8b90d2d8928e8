"""What an agent obeys and what it refuses (P2, P3): its own journal, a host that counts."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.contract import Outcome, WireError, WorkOrder
from tasks.host import LocalHost, Ran
from tasks.signing import is_signed_by, new_keys, private_key, public_key, sign
from workers.executor import Executor, Identity
from workers.journal import Journal

COORDINATOR, AGENT, STRANGER = new_keys(), new_keys(), new_keys()
NOW = 1_000_000.0


class CountingHost(LocalHost):
    """A machine with one unit: counts its restarts and has a clock that only moves in sleep."""

    def __init__(self, *, dies_in_restart: bool = False) -> None:
        self.clock, self.restarts, self.dies_in_restart = NOW, 0, dies_in_restart

    def run(self, argv: Sequence[str], **_: Any) -> Ran:
        if argv[1] == "show":
            # Active since long ago, so that it counts as settled at once.
            lines = {
                "LoadState": "loaded",
                "ActiveState": "active",
                "SubState": "running",
                "Result": "success",
                "NRestarts": 0,
                "MainPID": 1,
                "InvocationID": f"run-{self.restarts}",
                "ActiveEnterTimestampMonotonic": 0,
                "ExecMainStatus": 0,
            }
            return Ran(0, "".join(f"{k}={v}\n" for k, v in lines.items()), "")
        self.restarts += 1
        if self.dies_in_restart:
            raise KeyboardInterrupt("the agent is killed here")
        return Ran(0, "", "")

    def now(self) -> float:
        return self.clock

    def sleep(self, seconds: float) -> None:
        self.clock += seconds


def order(**changes: object) -> WorkOrder:
    plain = WorkOrder(
        incident="inc-1",
        run="run-1",
        epoch=7,
        rung=0,
        step=0,
        attempt=1,
        agent="one",
        machine="one",
        service="cache",
        operation="service.restart",
        arguments={"unit": "cache.service"},
        not_after=NOW + 20,
        seconds=30,
    )
    return sign(replace(plain, **changes), private_key(COORDINATOR[0]))  # type: ignore[arg-type]


def agent(tmp_path: Path, host: CountingHost) -> Executor:
    identity = Identity("one", private_key(AGENT[0]), public_key(COORDINATOR[1]), tmp_path)
    return Executor(identity, Journal(tmp_path / "journal.db"), host)


def test_an_order_is_carried_out_and_its_report_is_signed(tmp_path: Path) -> None:
    host = CountingHost()
    report = agent(tmp_path, host).handle(order().to_wire(), sent_as="service.restart")
    assert (report.outcome, host.restarts) == (Outcome.DONE, 1)
    assert is_signed_by(report, public_key(AGENT[1]))
    assert not is_signed_by(replace(report, outcome="failed"), public_key(AGENT[1]))


def test_a_doubled_order_takes_effect_once_and_is_answered_alike(tmp_path: Path) -> None:
    host = CountingHost()
    first = agent(tmp_path, host).handle(order().to_wire(), sent_as="service.restart")
    again = agent(tmp_path, host).handle(order().to_wire(), sent_as="service.restart")
    assert first == again
    assert host.restarts == 1


def test_a_long_export_holds_up_no_start_of_its_machine_and_no_second_export(
    tmp_path: Path,
) -> None:
    place = {"vm": "x", "hypervisor": "nspawn", "at": str(tmp_path)}
    job = {**place, "prefix": "p", "job": "j", "to": "/share"}
    export = order(operation="vm.export", service="", arguments=job)
    start = order(operation="vm.start", service="", arguments=place)
    ended: list[str] = []

    def handle(what: WorkOrder) -> None:
        report = agent(tmp_path, CountingHost()).handle(what.to_wire(), sent_as=what.operation)
        ended.append(f"{report.order} {report.reason}")

    with Journal(tmp_path / "journal.db").alone_on(export, beside=True):
        waits = threading.Thread(target=handle, args=(export,), daemon=True)
        waits.start()
        handle(start)
        assert ["there is no lab" in each for each in ended] == [True]
        assert waits.is_alive()
    waits.join(10)
    assert len(ended) == 2


REFUSED = {
    "late": (order(not_after=NOW - 5), "service.restart", "late: it was to begin 5 s ago"),
    "foreign": (order(agent="two"), "service.restart", "foreign: it is for the agent of two"),
    "sent under another name": (order(), "service.stop", "forged: signed as service.restart"),
    "signed by a stranger": (
        sign(order(), private_key(STRANGER[0])),
        "service.restart",
        "forged: the signature is not the coordinator's",
    ),
    "changed after signing": (
        replace(order(), arguments={"unit": "other.service"}),
        "service.restart",
        "forged: the signature is not the coordinator's",
    ),
    "not signed": (replace(order(), signature=""), "service.restart", "forged: the signature"),
    "of an operation it has not": (
        order(operation="disk.format"),
        "disk.format",
        "this agent has no operation 'disk.format'",
    ),
    "with arguments that do not fit": (
        order(arguments={"unit": 7}),
        "service.restart",
        "service.restart: 'unit' must be text",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_order_that_must_not_be_obeyed_is_refused_with_its_reason(
    tmp_path: Path, case: str
) -> None:
    bad, sent_as, reason = REFUSED[case]
    host = CountingHost()
    report = agent(tmp_path, host).handle(bad.to_wire(), sent_as=sent_as)
    assert report.outcome == Outcome.REFUSED
    assert report.reason.startswith(reason)
    assert host.restarts == 0


def test_a_lower_epoch_is_refused_also_after_a_restart_of_the_agent(tmp_path: Path) -> None:
    host = CountingHost()
    agent(tmp_path, host).handle(order(epoch=9).to_wire(), sent_as="service.restart")
    stale = order(epoch=8, step=1)
    report = agent(tmp_path, host).handle(stale.to_wire(), sent_as="service.restart")
    assert report.outcome == Outcome.REFUSED
    assert report.reason == "stale: epoch 8, but one has obeyed epoch 9"
    assert host.restarts == 1


def test_epochs_of_different_machines_do_not_hinder_each_other(tmp_path: Path) -> None:
    """The control machine's agent starts VMs for several runs at once."""
    host = CountingHost()
    agent(tmp_path, host).handle(order(epoch=9, machine="a").to_wire(), sent_as="service.restart")
    other = order(epoch=8, machine="b", step=1)
    report = agent(tmp_path, host).handle(other.to_wire(), sent_as="service.restart")
    assert report.outcome == Outcome.DONE


def test_an_order_begun_before_a_crash_is_looked_at_and_not_repeated(tmp_path: Path) -> None:
    host = CountingHost(dies_in_restart=True)
    with pytest.raises(KeyboardInterrupt):
        agent(tmp_path, host).handle(order().to_wire(), sent_as="service.restart")
    host.clock += 3600  # however late it comes back
    report = agent(tmp_path, host).handle(order().to_wire(), sent_as="service.restart")
    assert (report.outcome, host.restarts) == (Outcome.DONE, 1)
    assert report.reason.endswith("(seen after a crash)")


def test_a_begun_order_that_is_not_there_yet_is_unknown_and_not_repeated(tmp_path: Path) -> None:
    host = CountingHost(dies_in_restart=True)
    with pytest.raises(KeyboardInterrupt):
        agent(tmp_path, host).handle(order().to_wire(), sent_as="service.restart")
    host.restarts = 0  # the machine shows the same run of the unit as before
    report = agent(tmp_path, host).handle(order().to_wire(), sent_as="service.restart")
    assert (report.outcome, host.restarts) == (Outcome.UNKNOWN, 0)


def test_a_report_waits_in_the_journal_until_it_was_sent(tmp_path: Path) -> None:
    executor = agent(tmp_path, CountingHost())
    report = executor.handle(order().to_wire(), sent_as="service.restart")
    assert Journal(tmp_path / "journal.db").unsent() == [report]
    Journal(tmp_path / "journal.db").sent(report.order)
    assert Journal(tmp_path / "journal.db").unsent() == []


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ({}, "version None"),
        ({**order().to_wire(), "version": 2}, "version 2, this end knows 1"),
        ({**order().to_wire(), "extra": 1}, "unknown field 'extra'"),
        ({**order().to_wire(), "epoch": "7"}, "'epoch' has the wrong type"),
        ({**order().to_wire(), "epoch": True}, "'epoch' has the wrong type"),
        ({**order().to_wire(), "not_after": math.nan}, "'not_after' holds NaN or Infinity"),
        ({**order().to_wire(), "seconds": math.inf}, "'seconds' holds NaN or Infinity"),
        ({**order().to_wire(), "arguments": {"a": [{"b": -math.inf}]}}, "'arguments' holds NaN"),
        ({k: v for k, v in order().to_wire().items() if k != "run"}, "'run' is missing"),
    ],
)
def test_what_is_no_order_is_named_and_not_obeyed(
    tmp_path: Path, message: dict[str, object], says: str
) -> None:
    host = CountingHost()
    with pytest.raises(WireError, match=says):
        agent(tmp_path, host).handle(message, sent_as="service.restart")
    assert host.restarts == 0
