"""Throttling, and how far something is: plain values, and a dump from a real server."""

from __future__ import annotations

import json
import time
from pathlib import Path

from tasks.backup.pacing import Brake, heard
from tasks.catalog import operations
from tasks.contract import Outcome
from tasks.ending import EndableHost
from tasks.headway import Meter, Moved, Pace, Tell, in_words
from tasks.host import LocalHost
from tasks.operation import carry_out
from tests.backup.rig import redis, short_folder

HOST = LocalHost()


class Clock:
    def __init__(self) -> None:
        self.at = 100.0

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += seconds


def test_the_brake_lets_so_much_pass_and_no_more() -> None:
    clock = Clock()
    brake = Brake(1000.0, now=clock.now, sleep=clock.sleep)
    for _ in range(50):
        brake.passed(200)
    assert abs(clock.at - 110.0) < 0.001
    clock.at += 60
    for _ in range(50):
        brake.passed(200)
    # A minute of rest gives at most a second's worth.
    assert abs(clock.at - 179.0) < 0.001


def test_without_a_limit_nothing_waits() -> None:
    clock = Clock()
    Brake(0.0, now=clock.now, sleep=clock.sleep).passed(10**12)
    assert clock.at == 100.0


def test_a_meter_tells_now_and_then_with_rate_and_time_left() -> None:
    meter = Meter()
    paces = [meter.take(Moved("copying", n * 100, 10_000), 50.0 + n) for n in range(11)]
    told = [each for each in paces if each]
    assert len(told) == 5, "every second one"
    assert told[-1] == Pace(Moved("copying", 1000, 10_000), 100.0, 90.0)
    assert in_words(told[-1]) == "copying: 1 kB of 10 kB (10 %), 100 B/s, 90 s left"
    assert meter.take(Moved("loading", 5, 0), 61.0) is None, "something else begins"
    assert meter.take(Moved("loading", 5, 0), 64.0) == Pace(Moved("loading", 5, 0), None, None)


def test_what_is_no_progress_is_passed_over() -> None:
    moved: list[Moved] = []
    take = heard("receiving", Tell(moved=moved.append))
    for line in (b"", b"[1]", b'{"folder": "x"}', b"warning", b'{"done": 5, "total": 10}'):
        take(line)
    assert moved == [Moved("receiving", 5, 10)]


def backup_of(port: int, into: Path, **more: float) -> dict[str, object]:
    return {"into": str(into), "address": "127.0.0.1", "port": port, **more}


def test_a_dump_that_is_throttled_says_how_far_it_is_and_is_proved_all_the_same() -> None:
    with short_folder() as place, redis(place / "source", rdbcompression="no") as source:
        source.ask("DEBUG", "POPULATE", "4000", "key:", "1000")
        moved: list[Moved] = []
        arguments = backup_of(source.port, place / "b", bytes_per_s=2_000_000.0)
        begun = time.monotonic()
        done = carry_out(
            HOST,
            operations()["redis.backup"],
            arguments,
            ends=HOST.now() + 60,
            tell=Tell(moved=moved.append),
        )
        took = time.monotonic() - begun
        assert done.outcome is Outcome.DONE, done.reason
        size = json.loads(done.detail)["restore_point"]["size_bytes"]
    assert size / 2_000_000 - 1.0 < took, "a second's worth goes at once"
    received = [each.done for each in moved if each.what == "receiving the dump"]
    assert received
    assert received == sorted(received)


def test_a_dump_that_is_ended_leaves_nothing_and_the_source_as_it_was() -> None:
    with short_folder() as place, redis(place / "source", rdbcompression="no") as source:
        source.ask("DEBUG", "POPULATE", "4000", "key:", "1000")
        moved: list[Moved] = []
        host = EndableHost(HOST, lambda: "ended: a test" if moved else "")
        begun = time.monotonic()
        ended = carry_out(
            host,
            operations()["redis.backup"],
            backup_of(source.port, place / "b", bytes_per_s=500_000.0),
            ends=HOST.now() + 60,
            tell=Tell(moved=moved.append),
        )
        assert time.monotonic() - begun < 8, "promptly"
        assert ended.outcome is Outcome.FAILED
        assert "ended: a test" in ended.reason
        assert [each.name for each in (place / "b").iterdir()] == [".lock"]
        assert source.ask("SET", "still", "writable") == "OK"
