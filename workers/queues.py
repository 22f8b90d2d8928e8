"""How many messages wait in the queues, as the broker says it.

What lives here: asking. What must not: judging; whether nobody takes them is known by whom one
hears (watching.py).
"""

from __future__ import annotations

from collections.abc import Iterable

from celery import Celery
from kombu import Connection
from kombu.exceptions import OperationalError

from workers.broker import host_queue

CONNECT_SECONDS = 2


class BrokerAway(Exception):
    """The broker cannot be asked about its queues; see to the broker."""


def waiting(app: Celery, machines: Iterable[str]) -> dict[str, int]:
    """The messages in each machine's queue; 0 for a queue that nobody ever made."""
    try:
        with app.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, timeout=CONNECT_SECONDS)
            return {machine: _count(connection, host_queue(machine)) for machine in machines}
    except (OperationalError, OSError) as error:
        raise BrokerAway(f"the broker cannot be asked about its queues: {error}") from error


def _count(connection: Connection, queue: str) -> int:
    # A passive declaration of what is not there closes the channel, so each has its own.
    with connection.channel() as channel:
        try:
            return int(channel.queue_declare(queue=queue, passive=True).message_count)
        except connection.channel_errors:
            return 0
