"""Taking messages from Redis: whoever dies or is not acknowledged, none is lost and none stops."""

from __future__ import annotations

import random
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis
from kombu import Connection, Consumer, Message, Queue

from tests.integration import rig
from workers.broker import host_queue, make_app

KEPT = "unacked.host.one"


def _taken(connection: Connection) -> Message:
    messages: list[Message] = []
    queue = Queue(host_queue("one"))
    with Consumer(connection, [queue], prefetch_count=1, on_message=messages.append):
        rig.wait_for("a message", lambda: _drained(connection) and bool(messages))
        return messages[0]


def _drained(connection: Connection) -> bool:
    try:
        connection.drain_events(timeout=0.2)
    except TimeoutError:
        return False
    return True


def test_an_acknowledgement_that_fails_stops_nobody(tmp_path: Path) -> None:
    with ExitStack() as stack:
        broker = stack.enter_context(rig.broker("valkey", tmp_path))
        app = make_app(broker.url, consumer=host_queue("one"))
        operator = redis.Redis.from_url(broker.url)
        connection = stack.enter_context(app.connection_for_read())
        for number in range(2):
            app.send_task("service.status", kwargs={"n": number}, queue=host_queue("one"))
        first = _taken(connection)
        operator.execute_command("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(redis.exceptions.ReadOnlyError):
            first.ack()
        operator.execute_command("REPLICAOF", "NO", "ONE")
        second = _taken(connection)
        assert second.delivery_tag != first.delivery_tag
        second.ack()
        # It is given back to whoever starts here next.
        assert operator.hkeys(KEPT) == [str(first.delivery_tag).encode()]


MESSAGES, DEATHS = 2000, 15


def test_whoever_takes_may_be_killed_at_any_moment_and_no_message_is_lost(tmp_path: Path) -> None:
    dice = random.Random(7)  # noqa: S311
    with ExitStack() as stack:
        broker = stack.enter_context(rig.broker("valkey", tmp_path))
        app = make_app(broker.url)
        with app.connection_for_write() as connection:
            for number in range(MESSAGES):
                app.send_task(
                    "x", headers={"number": number}, queue=host_queue("one"), connection=connection
                )
        done = tmp_path / "done"
        done.touch()

        def count() -> int:
            return done.read_bytes().count(b"\n")

        argv = [sys.executable, "-m", "tests.integration.taker", broker.url, str(done)]
        taker = stack.enter_context(rig.running(argv, tmp_path / "log", {}))
        for death in range(DEATHS):
            some = min(MESSAGES, (death + 1) * MESSAGES // DEATHS - dice.randrange(100))
            rig.wait_for("some messages", lambda: count() >= some, pause=0.001)  # noqa: B023
            taker.kill()
            taker.start()
        operator = redis.Redis.from_url(broker.url)
        rig.wait_for("the end", lambda: not operator.llen("host.one") and not operator.hlen(KEPT))
        assert {int(each) for each in done.read_text().split()} == set(range(MESSAGES))


def test_what_a_break_left_between_queue_and_hand_is_the_next(tmp_path: Path) -> None:
    with ExitStack() as stack:
        broker = stack.enter_context(rig.broker("valkey", tmp_path))
        app = make_app(broker.url, consumer=host_queue("one"))
        operator = redis.Redis.from_url(broker.url)
        for number in range(2):
            app.send_task("x", headers={"number": number}, queue=host_queue("one"))
        # The server has moved it, and the answer got lost.
        operator.lmove("host.one", f"{KEPT}.taken", "RIGHT", "LEFT")
        connection = stack.enter_context(app.connection_for_read())
        first = _taken(connection)
        assert first.headers["number"] == 0
        assert operator.llen(f"{KEPT}.taken") == 0
        assert operator.hlen(KEPT) == 1
        first.ack()
        assert _taken(connection).headers["number"] == 1


def test_what_comes_for_a_connection_that_was_lost_is_not_lost_with_it(tmp_path: Path) -> None:
    """The server moves it when we have looked already, and knows only later that nobody listens."""
    with ExitStack() as stack:
        broker = stack.enter_context(rig.broker("valkey", tmp_path))
        app = make_app(broker.url, consumer=host_queue("one"))
        operator = redis.Redis.from_url(broker.url)
        for number in range(3):
            app.send_task("x", headers={"number": number}, queue=host_queue("one"))
        connection = stack.enter_context(app.connection_for_read())
        _taken(connection).ack()
        operator.lmove("host.one", f"{KEPT}.taken", "RIGHT", "LEFT")
        second = _taken(connection)
        assert second.headers["number"] == 2
        second.ack()
        other = stack.enter_context(app.connection_for_read())
        assert _taken(other).headers["number"] == 1
