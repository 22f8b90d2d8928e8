"""The watcher with real servers on loopback: who is asked, when, and what cannot stop it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from orchestrator.core.health import Use, Watch
from orchestrator.watcher import MOST_OUT, Watcher
from tasks.asking import Probe, network_probe
from tasks.contract import Json, Kind, Reading
from tasks.probes.http import http
from tasks.probes.systemd import systemd
from tasks.probes.tcp import tcp
from tasks.questions import Read, TcpQuestion
from tests.watcher.servers import Server, closed_port, page, says, serving

BOUND = 20.0


@dataclass(frozen=True)
class Broken:
    address: str = ""


def _pose(_read: Read, _wanted: Broken) -> TcpQuestion:
    raise RuntimeError("a fault of the probe's author")


broken = network_probe(
    "broken", "Raises", Broken, _pose, lambda _wanted, _got: {}, lambda _wanted, _answer: ()
)
PROBES: Mapping[str, Probe[Any]] = {each.name: each for each in (http, tcp, systemd, broken)}


class Taken:
    """What the watcher told, and waiting for it."""

    def __init__(self) -> None:
        self.readings: list[tuple[str, Reading]] = []
        self._more = threading.Condition()

    def __call__(self, name: str, reading: Reading) -> None:
        with self._more:
            self.readings.append((name, reading))
            self._more.notify_all()

    def of(self, name: str) -> list[Reading]:
        return [reading for who, reading in self.readings if who == name]

    def wait(self, enough: Callable[[], object]) -> None:
        with self._more:
            assert self._more.wait_for(enough, BOUND), self.readings[-5:]


@contextlib.contextmanager
def watching(
    take: Callable[[str, Reading], None], *watches: Watch, clock: Callable[[], float] = time.time
) -> Iterator[Watcher]:
    watcher = Watcher(take, PROBES, clock)
    watcher.watch(watches)
    watcher.start()
    try:
        yield watcher
    finally:
        watcher.stop()


def watch(name: str, server: Server | int, **more: Any) -> Watch:
    arguments: Mapping[str, Json] = (
        {"url": server.url}
        if isinstance(server, Server)
        else {"address": "127.0.0.1", "port": server}
    )
    probe = "http" if isinstance(server, Server) else "tcp"
    wanted: dict[str, Any] = {"interval_s": 0.1, "timeout_s": 2.0, **more}
    return Watch(name, Use.ANSWERS, name, "m", probe, arguments, **wanted)


def test_each_is_asked_again_and_again() -> None:
    taken, closed = Taken(), closed_port()
    with (
        serving(says(page())) as well,
        serving(says(page(status="500 Oops"))) as ill,
        serving(says(hang=True)) as silent,
        watching(
            taken,
            watch("well", well),
            watch("ill", ill),
            watch("closed", closed),
            watch("silent", silent, timeout_s=0.2),
        ),
    ):
        taken.wait(lambda: all(len(taken.of(n)) >= 5 for n in ("well", "ill", "closed", "silent")))
    kinds = {name: {each.kind for each in taken.of(name)} for name, _ in taken.readings}
    assert kinds == {
        "well": {Kind.GOOD},
        "ill": {Kind.BAD},
        "closed": {Kind.CLOSED},
        "silent": {Kind.SILENT},
    }


def test_only_what_can_be_asked_from_here() -> None:
    taken = Taken()
    with serving(says(page())) as server:
        here = watch("here", server)
        unit = replace(here, name="unit", probe="systemd", arguments={"unit": "x.service"})
        others = (replace(here, name="agent", vantage="host1"), unit)
        with watching(taken, *others, here):
            taken.wait(lambda: len(taken.of("here")) >= 3)
    assert {name for name, _ in taken.readings} == {"here"}


def test_one_that_takes_longer_than_its_interval_is_asked_in_time_and_not_endlessly() -> None:
    open_now, most = 0, 0

    async def slow(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        # Until the watcher gives up.
        await reader.read()
        await reader.read()
        open_now -= 1

    taken = Taken()
    with serving(slow) as server:
        with watching(taken, watch("slow", server, timeout_s=1.0)) as watcher:
            taken.wait(lambda: len(taken.of("slow")) >= 2 * MOST_OUT)
            late = watcher.lateness()
        starts = [each.asked_at for each in taken.of("slow")]
    assert most == MOST_OUT
    # The second one began before the first one had ended.
    assert starts[1] - starts[0] < 0.9
    assert late.skipped >= 1
    assert late.max >= 0.1


def test_a_replaced_set_while_checks_are_out() -> None:
    taken = Taken()
    release = threading.Event()

    async def held(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        while not release.is_set():
            await asyncio.sleep(0.01)
        writer.write(page())

    with serving(held) as slow, serving(says(page())) as quick:
        left, stays = watch("left", slow, interval_s=30.0), watch("stays", slow, interval_s=30.0)
        # It stays by name and asks something else now.
        changed = watch("changed", slow, interval_s=30.0)
        with watching(
            taken,
            replace(left, interval_s=29.0),
            replace(stays, interval_s=28.0),
            replace(changed, interval_s=27.0),
        ) as watcher:
            assert until(lambda: len(slow.heard) == 3)
            watcher.watch([replace(stays, interval_s=28.0), watch("changed", quick)])
            taken.wait(lambda: taken.of("changed"))
            release.set()
            taken.wait(lambda: taken.of("stays") and len(taken.of("changed")) >= 3)
    assert taken.of("left") == []
    assert {each.answer["begins"] for each in taken.of("changed")} == {'{"status": "healthy"}'}


def test_a_fault_in_one_check_stops_nothing_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    taken = Taken()
    with serving(says(page())) as server:
        well = watch("well", server)
        raises = replace(well, name="raises", probe="broken", arguments={})
        misused = replace(well, name="misused", arguments={"uri": "x"})
        with caplog.at_level(logging.ERROR), watching(taken, raises, misused, well) as watcher:
            taken.wait(lambda: all(len(taken.of(n)) >= 4 for n in ("well", "raises", "misused")))
            assert watcher.overdue() == ()
    assert {each.kind for each in taken.of("raises")} == {Kind.UNKNOWN}
    assert "a fault of the probe's author" in taken.of("raises")[0].error
    assert "'uri' is not an argument" in taken.of("misused")[0].error
    assert sorted(each.getMessage().split(":")[0] for each in caplog.records) == [
        "misused",
        "raises",
    ]


def test_one_who_takes_readings_and_raises_stops_nothing() -> None:
    taken = Taken()

    def take(name: str, reading: Reading) -> None:
        taken(name, reading)
        raise RuntimeError("the taker's fault")

    with serving(says(page())) as server, watching(take, watch("well", server)):
        taken.wait(lambda: len(taken.of("well")) >= 3)


def test_a_wall_clock_that_jumps_moves_stamps_and_no_starts() -> None:
    taken, jump = Taken(), 0.0
    with (
        serving(says(page())) as server,
        watching(taken, watch("well", server), clock=lambda: time.time() + jump) as watcher,
    ):
        taken.wait(lambda: len(taken.of("well")) >= 2)
        jump = -3600.0
        before = len(taken.of("well"))
        taken.wait(lambda: len(taken.of("well")) >= before + 3)
        assert watcher.overdue() == ()
    newest = taken.of("well")[-1]
    assert abs(newest.asked_at - (time.time() - 3600)) < 60
    assert 0 <= newest.latency_s < 10


def test_who_was_not_answered_is_overdue_even_when_the_loop_stands() -> None:
    taken, stands = Taken(), threading.Event()

    def take(name: str, reading: Reading) -> None:
        taken(name, reading)
        stands.wait(BOUND)

    with serving(says(page())) as server:
        quick = watch("quick", server, interval_s=0.05, timeout_s=0.05)
        patient = replace(quick, name="patient", interval_s=60.0)
        with watching(take, quick, patient) as watcher:
            taken.wait(lambda: taken.readings)
            assert until(lambda: watcher.overdue() == ("quick",))
            stands.set()
            assert until(lambda: watcher.overdue() == ())
            # What was missed meanwhile is told, and not made up for.
            assert watcher.lateness().skipped >= 1


def test_what_cannot_be_asked_is_overdue_although_readings_come() -> None:
    taken = Taken()
    raises = Watch("raises", Use.ANSWERS, "s", "m", "broken", {}, interval_s=0.05, timeout_s=0.05)
    with watching(taken, raises) as watcher:
        assert until(lambda: watcher.overdue() == ("raises",))
        assert taken.of("raises")


def test_times_before_the_start_were_not_missed() -> None:
    taken = Taken()
    with serving(says(page())) as server:
        watcher = Watcher(taken, PROBES)
        watcher.watch([watch("well", server, interval_s=0.2)])
        for _ in range(2):
            time.sleep(0.5)
            taken.readings.clear()
            watcher.start()
            taken.wait(lambda: taken.readings)
            watcher.stop()
        assert watcher.lateness().skipped == 0


def test_stop_leaves_nothing() -> None:
    taken = Taken()
    before = set(threading.enumerate())
    with serving(says(hang=True)) as server:
        watches = [watch(str(number), server, timeout_s=60.0) for number in range(50)]
        watcher = Watcher(taken, PROBES)
        watcher.start()
        watcher.watch(watches)
        assert until(lambda: len(server.heard) >= 50)
        watcher.stop()
        watcher.stop()
        assert {each.name for each in set(threading.enumerate()) - before} & {"watcher"} == set()
        # The server sees every connection closed, although it never answered.
        assert until(lambda: server.open_now == 0)
    assert taken.readings == []


def until(reached: Callable[[], bool]) -> bool:
    ends = time.monotonic() + BOUND
    while not reached():
        if time.monotonic() > ends:
            return False
        time.sleep(0.01)
    return True
