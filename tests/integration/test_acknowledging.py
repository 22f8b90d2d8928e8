"""A broker that does not take an acknowledgement: the next message is taken all the same."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
import redis
from kombu import Connection, Consumer, Message, Queue

from tests.integration import rig
from workers.broker import host_queue, make_app


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
        assert operator.hkeys("unacked.host.one") == [str(first.delivery_tag).encode()]
