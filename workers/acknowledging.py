"""Kombu's transport for Redis, with one difference: an acknowledgement that fails stops nobody.

What lives here: that difference. What must not: settings (broker.py). Kombu acknowledges over
another connection than the one that it takes messages by. Where only the first is broken it logs
"Couldn't ack" and goes on counting the message as being worked on, so an agent that takes one at a
time takes none any more, for good, and is heard all the while. What was not acknowledged stays
where it is kept, and comes back at the next start, to find in the journal that it was done.
"""

from __future__ import annotations

from typing import Any

from kombu.transport import redis, virtual


class QoS(redis.QoS):
    """What is being worked on."""

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
    """With that."""

    QoS: Any = QoS


class Transport(redis.Transport):
    """With such channels."""

    Channel: Any = Channel
