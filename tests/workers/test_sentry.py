"""What an agent asks when, and what goes out at once: plain values, then its real threads."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tasks import catalog
from tasks.asking import Probe
from tasks.contract import BEAT_SECONDS, Json, Kind, Reading
from tasks.host import Host, LocalHost
from tasks.probes import tcp as tcp_probe
from tasks.signing import is_signed_by
from tasks.watching import Beat, WatchLine
from tests.workers.watching import AGENTS, identity, line, reading, watch_list
from workers.sentry import SETTLED_AFTER, Pending, Rota, Sentry, ask, sendable
from workers.voice import Unheard
from workers.watchlist import list_file, take_list

CLOSED_PORT = 1


def names(taken: tuple[list[WatchLine], float | None]) -> list[str]:
    return [each.name for each in taken[0]]


def test_a_line_is_due_at_once_and_then_at_its_interval_however_late_it_was_asked() -> None:
    rota = Rota()
    rota.replace([line("a")], 100.0)
    assert names(rota.take(100.0)) == ["a"]
    rota.done("a")
    taken = rota.take(104.9)
    assert (names(taken), taken[1]) == ([], 105.0)
    assert names(rota.take(106.5)) == ["a"]
    rota.done("a")
    assert rota.take(107.0)[1] == 110.0


def test_turns_that_were_slept_through_are_not_made_up_for() -> None:
    rota = Rota()
    rota.replace([line("a")], 100.0)
    rota.take(100.0)
    rota.done("a")
    assert names(rota.take(131.0)) == ["a"]
    rota.done("a")
    assert rota.take(131.0) == ([], 135.0)


def test_a_line_that_is_still_asked_misses_its_turn_and_the_others_do_not() -> None:
    rota = Rota()
    rota.replace([line("slow"), line("quick")], 100.0)
    assert names(rota.take(100.0)) == ["slow", "quick"]
    rota.done("quick")
    assert names(rota.take(105.0)) == ["quick"]
    rota.done("slow")
    rota.done("quick")
    assert names(rota.take(110.0)) == ["slow", "quick"]


def test_of_another_list_what_stayed_keeps_its_turn_and_what_is_new_is_due() -> None:
    rota = Rota()
    rota.replace([line("stays"), line("changes"), line("goes")], 100.0)
    rota.take(100.0)
    for name in ("stays", "changes"):
        assert rota.done(name)
    rota.replace([line("stays"), line("changes", interval_s=7.0), line("comes")], 102.0)
    assert not rota.done("goes")
    assert names(rota.take(102.0)) == ["changes", "comes"]


def test_no_reading_waits_for_a_beat_longer_than_for_its_successor() -> None:
    rota = Rota()
    assert rota.beat_seconds == BEAT_SECONDS
    rota.replace([line("a", interval_s=60.0), line("b", interval_s=1.0)], 0.0)
    assert rota.beat_seconds == 1.0


def test_every_reading_that_may_decide_goes_at_once() -> None:
    pending = Pending()
    row = [Kind.GOOD] * (SETTLED_AFTER + 1) + [Kind.SILENT] * (SETTLED_AFTER + 1) + [Kind.GOOD]
    hurried = [pending.add("a", reading(kind)) for kind in row]
    settles = [True] * (SETTLED_AFTER - 1) + [False, False]
    assert hurried == [*settles, *settles, True]


def test_only_the_newest_reading_waits_for_a_broker_that_is_away() -> None:
    pending = Pending()
    pending.add("a", reading(at=1.0))
    pending.add("b", reading(at=2.0))
    unheard = pending.drain()
    pending.add("a", reading(at=3.0))
    pending.put_back(unheard)
    assert {name: each.asked_at for name, each in pending.drain().items()} == {"a": 3.0, "b": 2.0}
    assert pending.drain() == {}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (line(probe="nonsense"), "this agent has no probe 'nonsense'"),
        (line(arguments={"address": "127.0.0.1"}), "tcp: 'port' is missing"),
    ],
)
def test_what_this_agent_cannot_ask_says_nothing_of_the_service(
    bad: WatchLine, reason: str
) -> None:
    taken = ask(LocalHost(), catalog.probes(), bad, "one")
    assert taken.kind is Kind.UNKNOWN
    assert taken.error.startswith(reason)


def test_a_fault_of_ours_in_a_probe_says_nothing_of_the_service() -> None:
    def fails(_host: Host, _arguments: Any) -> Mapping[str, Json]:
        raise ZeroDivisionError("a slip")

    faulty = Probe("tcp", "", tcp_probe.Arguments, fails, lambda _wanted, _answer: ())
    taken = ask(LocalHost(), {"tcp": faulty}, line(), "one")
    assert (taken.kind, taken.healthy) == (Kind.UNKNOWN, False)
    assert "a slip" in taken.error


def test_the_timeout_of_the_watch_is_the_probes() -> None:
    asked: list[float] = []

    def notes(_host: Host, arguments: tcp_probe.Arguments) -> Mapping[str, Json]:
        asked.append(arguments.seconds)
        return {}

    noting = Probe("tcp", "", tcp_probe.Arguments, notes, lambda _wanted, _answer: ())
    ask(LocalHost(), {"tcp": noting}, line(timeout_s=1.5), "one")
    ask(LocalHost(), {"tcp": noting}, line(arguments={**line().arguments, "seconds": 2.5}), "one")
    assert asked == [1.5, 2.5]


@pytest.mark.parametrize(
    "answer", [{"n": math.nan}, {"n": {1, 2}}, {"n": "x" * 10_000}, {"n": b""}]
)
def test_an_answer_that_cannot_be_sent_is_left_out_and_the_reading_is_sent(answer: Json) -> None:
    taken = Reading("http", "one", 1.0, 0.1, answer, ("x" * 10_000,) * 50, kind=Kind.BAD)
    sent = sendable(taken)
    assert set(sent.answer) == {"left_out"}
    assert Reading.from_wire(sent.to_wire()).kind is Kind.BAD
    assert len(str(sent.to_wire())) < 20_000


class Coordinator:
    """Takes the beats of one sentry, or refuses to."""

    def __init__(self) -> None:
        self.beats: list[Beat] = []
        self.away = False
        self._more = threading.Condition()

    def say(self, beat: Beat) -> None:
        if self.away:
            raise Unheard("the broker is away")
        with self._more:
            self.beats.append(beat)
            self._more.notify_all()

    def readings(self, name: str) -> list[Reading]:
        return [each.taken()[name] for each in self.beats if name in each.readings]

    def wait(self, what: str, met: Any) -> None:
        with self._more:
            assert self._more.wait_for(met, timeout=20), f"{what} did not come"


class HangingHost(LocalHost):
    """On which a connection to the closed port hangs until the test lets go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()

    def tcp(self, address: str, port: int, **more: Any) -> bytes:
        if port == CLOSED_PORT:
            self.let_go.wait(30)
        return super().tcp(address, port, **more)


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def started(state: Path, host: LocalHost) -> Coordinator:
    coordinator = Coordinator()
    Sentry(identity(state), host, catalog.probes(), coordinator.say).start()
    return coordinator


def at(port: int) -> Mapping[str, Json]:
    return {"address": "127.0.0.1", "port": port}


def test_a_sentry_watches_by_the_list_it_held_before_its_restart(tmp_path: Path, port: int) -> None:
    held = watch_list(line("good", arguments=at(port)), line("bad"))
    take_list(identity(tmp_path), held.to_wire())
    coordinator = started(tmp_path, LocalHost())
    coordinator.wait("a reading", lambda: coordinator.readings("bad"))
    coordinator.wait("the other reading", lambda: coordinator.readings("good"))
    assert coordinator.readings("bad")[0].kind is Kind.CLOSED
    assert coordinator.readings("good")[0].kind is Kind.GOOD
    assert coordinator.readings("good")[0].vantage == "one"
    assert all(is_signed_by(each, AGENTS["one"]) for each in coordinator.beats)
    assert coordinator.beats[0].list_digest == held.digest


def test_a_sentry_takes_up_another_list_and_the_loss_of_it(tmp_path: Path, port: int) -> None:
    me = identity(tmp_path)
    coordinator = started(tmp_path, LocalHost())
    coordinator.wait("a beat", lambda: coordinator.beats)
    assert coordinator.beats[0].list_digest == ""
    given = watch_list(line("good", arguments=at(port)))
    take_list(me, given.to_wire())
    coordinator.wait("a reading", lambda: coordinator.readings("good"))
    assert coordinator.beats[-1].list_digest == given.digest
    list_file(me).unlink()
    coordinator.wait("a beat without it", lambda: coordinator.beats[-1].list_digest == "")


def test_probes_that_hang_hold_up_neither_the_beat_nor_another_probe(
    tmp_path: Path, port: int
) -> None:
    host = HangingHost()
    lines = [line(f"hangs-{number}", interval_s=0.3) for number in range(2)]
    lines += [line(f"slow-{number}", interval_s=0.3, timeout_s=30.0) for number in range(5)]
    lines.append(line("good", interval_s=0.3, arguments=at(port)))
    take_list(identity(tmp_path), watch_list(*lines).to_wire())
    coordinator = started(tmp_path, host)
    try:
        coordinator.wait("a row of readings", lambda: len(coordinator.readings("good")) >= 4)
        assert not coordinator.readings("hangs-0")
    finally:
        host.let_go.set()
    coordinator.wait("the late reading", lambda: coordinator.readings("hangs-0"))


def test_what_was_seen_while_the_broker_was_away_is_not_heaped_up(
    tmp_path: Path, port: int
) -> None:
    lines = [line("good", interval_s=0.2, arguments=at(port))]
    take_list(identity(tmp_path), watch_list(*lines).to_wire())
    coordinator = started(tmp_path, LocalHost())
    coordinator.wait("a reading", lambda: coordinator.readings("good"))
    coordinator.away = True
    time.sleep(1.5)
    heard = len(coordinator.beats)
    coordinator.away = False
    coordinator.wait("a beat", lambda: len(coordinator.beats) > heard)
    again = coordinator.beats[heard]
    assert again.at - again.taken()["good"].asked_at < 1.0
    assert again.number > coordinator.beats[heard - 1].number + 1
