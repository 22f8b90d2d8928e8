"""Kombu's transport for Redis, with two differences: what is taken from a queue is never lost, and
an acknowledgement that fails stops nobody.

What lives here: these differences. What must not: settings (broker.py).

Kombu takes a message with BRPOP and then writes down that it has it. Whoever is killed in between,
or whose connection breaks while the answer is on its way, has lost it, and nobody knows: a run
then waits for a deadline. Here the server moves it to a list of the taker's own in one step
(BLMOVE, from Redis 6.2 on), and from there to what is being worked on in another; what a break
leaves in that list goes back to its queue before anything else is taken. It may so come twice,
and the journal knows it then.

Kombu acknowledges over another connection than the one that it takes messages by. Where only the
first is broken it logs "Couldn't ack" and goes on counting the message as being worked on, so an
agent that takes one at a time takes none any more, for good, and is heard all the while. What was
not acknowledged stays where it is kept, and comes back at the next start, to find in the journal
that it was done.
"""

from __future__ import annotations

import time
from queue import Empty
from typing import Any

from kombu.transport import redis, virtual
from kombu.utils.json import dumps, loads


class QoS(redis.QoS):
    """What is being worked on."""

    def append(self, message: Any, delivery_tag: str) -> None:
        info = message.delivery_info
        kept = dumps([message._raw, info["exchange"], info["routing_key"]])
        with self.pipe_or_acquire() as pipe:
            pipe.zadd(self.unacked_index_key, {delivery_tag: time.time()})
            pipe.hset(self.unacked_key, delivery_tag, kept)
            self.channel.let_go(pipe)
            pipe.execute()
        virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        try:
            super().ack(delivery_tag)
        except Exception:
            virtual.QoS.ack(self, delivery_tag)
            raise

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        try:
            super().reject(delivery_tag, requeue=requeue)
        except Exception:
            virtual.QoS.ack(self, delivery_tag)
            raise


class Channel(redis.Channel):
    """From `own_queue`, which nobody else takes from into this place, it takes without loss."""

    QoS: Any = QoS
    own_queue = ""
    from_transport_options: Any = (*redis.Channel.from_transport_options, "own_queue")

    _asked = False  #: the server, to move a message into our list
    _has: bytes | None = None  #: the one that is there and nowhere else
    _looked_through: Any = None  #: the socket since which nothing can have been left behind
    _in_poll: Any
    _brpop_sent_at: Any

    def let_go(self, pipe: Any) -> None:
        """Together with writing down elsewhere what was taken last. That alone: the server may
        have moved another one there for a connection of ours that it does not know to be lost."""
        if self._has is not None:
            pipe.lrem(taken(self.unacked_key), 1, self._has)

    def _brpop_start(self, timeout: float | None = None) -> None:
        self._asked = list(self.active_queues) == [self.own_queue]
        if not self._asked:
            super()._brpop_start(timeout)
            return
        connection = self.client.connection
        if connection._sock is None or connection._sock is not self._looked_through:
            with self.conn_or_acquire() as client:
                give_back(client, self.unacked_key, self.own_queue)
            self._looked_through = connection._sock
        self._in_poll = connection
        self._brpop_sent_at = time.monotonic()
        wait = timeout or self.brpop_timeout or 0
        to = taken(self.unacked_key)
        connection.send_command("BLMOVE", self.own_queue, to, "RIGHT", "LEFT", wait)

    def _brpop_read(self, **options: Any) -> bool:
        asked, self._asked = self._asked, False
        if not asked:
            return bool(super()._brpop_read(**options))
        try:
            if (message := self._answer(options)) is None:
                raise Empty
            self._has = message
            self.connection._deliver(loads(message.decode()), self.own_queue)
            return True
        except Empty:
            raise
        except Exception:
            self._looked_through = None
            raise
        finally:
            self._has, self._in_poll = None, None
            self._flush_brpop_reauth()

    def _answer(self, options: dict[str, Any]) -> bytes | None:
        connection = self.client.connection
        try:
            found: bytes | None = self.client.parse_response(connection, "BLMOVE", **options)
        except self.connection_errors:
            # As Kombu does; the next round connects anew, and looks for what was left.
            connection.disconnect()
            raise
        return found


class Transport(redis.Transport):
    """With such channels."""

    Channel: Any = Channel


def taken(place: str) -> str:
    """The list with what was taken, and is not written down as being worked on yet."""
    return f"{place}.taken"


def give_back(client: Any, place: str, queue: str) -> int:
    """What a break left in that list is the queue's next again; how many it was."""
    count = 0
    while client.lmove(taken(place), queue, "LEFT", "RIGHT") is not None:
        count += 1
    return count
