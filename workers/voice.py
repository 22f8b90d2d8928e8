"""Saying something to whoever listens now: the events exchange, through a connection of its own.

What lives here: the connection, bounded in time, and its renewal. What must not: what is said.
Nothing that is said here waits in the broker for a listener: on Redis and Valkey it is
published, on RabbitMQ it goes to queues that end with their listener. A broker that stands
still costs its caller a few seconds, and a broken connection is made anew at the next word.
"""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu import Connection
from kombu.exceptions import OperationalError

from workers.broker import is_redis

PATIENCE_SECONDS = 5  #: for the broker to take a word

BEAT_EVENT, ECHO_EVENT = "autobot-beat", "autobot-echo"
#: Celery makes these of the names above; this is the pattern for both.
ROUTING_KEYS = "autobot.*"


class Unheard(Exception):
    """The broker did not take it; the broker's log says why. It is made up for at the next beat."""


class Voice:
    """One speaker. Not for several threads at once."""

    def __init__(self, app: Celery, name: str) -> None:
        self.app, self.name = app, name
        self._connection: Connection | None = None
        self._dispatcher: Any = None

    def say(self, event: str, **fields: Any) -> None:
        """To whoever listens; raises Unheard."""
        try:
            self._dispatch().send(event, **fields)
        except broken(self._connection) as error:
            self.close()
            raise Unheard(f"{type(error).__name__}: {error}") from error

    def put(self, task: str, queue: str, **arguments: Any) -> None:
        """A Celery task on a durable queue; raises Unheard."""
        try:
            self._dispatch()
            self.app.send_task(
                task,
                kwargs=arguments,
                queue=queue,
                connection=self._connection,
                retry=False,
                ignore_result=True,
                confirm_timeout=PATIENCE_SECONDS,
            )
        except broken(self._connection) as error:
            self.close()
            raise Unheard(f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        connection, self._connection, self._dispatcher = self._connection, None, None
        if connection is not None:
            # Not `release`, which talks to a broker that may be standing still.
            connection.collect(socket_timeout=1)

    def _dispatch(self) -> Any:
        if self._dispatcher is None:
            self._connection = bounded_connection(self.app)
            self._connection.ensure_connection(max_retries=1, timeout=PATIENCE_SECONDS)
            self._dispatcher = self.app.events.Dispatcher(
                self._connection, hostname=self.name, buffer_while_offline=False
            )
        return self._dispatcher


def bounded_connection(app: Celery) -> Connection:
    """A connection on which nothing waits longer than a few seconds for the broker."""
    options: dict[str, Any] = {"socket_timeout": PATIENCE_SECONDS}
    if not is_redis(app.conf.broker_write_url):
        options = {"read_timeout": PATIENCE_SECONDS, "write_timeout": PATIENCE_SECONDS}
    made: Connection = app.connection_for_write(
        transport_options=options, connect_timeout=PATIENCE_SECONDS
    )
    return made


def broken(connection: Connection | None) -> tuple[type[BaseException], ...]:
    """What a broken connection raises, whichever broker it is."""
    if connection is None:
        return (OperationalError, OSError)
    return (
        OperationalError,
        OSError,
        *connection.connection_errors,
        *connection.channel_errors,
    )
