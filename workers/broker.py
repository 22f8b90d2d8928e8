"""How our processes use a broker, whichever it is: the settings, and getting orders back.

What lives here: Celery's configuration with the reason for each choice, and the return of what
a killed process left unacknowledged. What must not: tasks. Measurements behind the settings are
in docs/decisions/celery-settings.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from celery import Celery
from kombu import Connection, Exchange, Queue
from kombu.exceptions import OperationalError

COORDINATOR_QUEUE = "orchestrator"
UNACKED, UNACKED_INDEX = "unacked", "unacked_index"

#: For an answer of the broker. Celery waits for ever: one word into a connection whose other end is
#: lost, and an agent takes no orders, a coordinator decides nothing, until the kernel gives up.
SWALLOWED_SECONDS = 10

TERMS = 50  #: so many of the earlier ones are looked through for what they left

#: Publishing waits this long for a broker that is away: days. Finite, because Celery quietly
#: turns "for ever" into three tries inside a worker (celery/app/amqp.py, 5.7).
PUBLISH_RETRY = {
    "max_retries": 100_000,
    "interval_start": 0.05,
    "interval_step": 0.25,
    "interval_max": 2,
}


#: Between two tries of a worker to reach a broker that is away; Celery's own grow to 30 s, which
#: is how long nobody would take orders after the broker is back.
AGAIN = {"interval_start": 0.5, "interval_step": 0.5, "interval_max": 5}


class Returning(Connection):
    """A connection that is tried again soon, and by which no message is lost (taking.py)."""

    def ensure_connection(self, *args: Any, **given: Any) -> Any:
        return super().ensure_connection(*args, **{**AGAIN, **given})

    def get_transport_cls(self) -> Any:
        found = super().get_transport_cls()
        if found.__module__ != "kombu.transport.redis":
            return found
        # Here, so that who uses RabbitMQ is spared what it takes.
        from workers.taking import Transport

        return Transport


def host_queue(machine: str) -> str:
    return f"host.{machine}"


def make_app(broker_url: str, *, consumer: str = "", result_backend: str = "") -> Celery:
    """A Celery app for one process. `consumer` is the queue that this process alone consumes."""
    # Without fixups Celery does not look for Django, which would slow every agent's start.
    app = Celery("autobot-dr", broker=broker_url, backend=result_backend or None, fixups=[])
    app.amqp.Connection = Returning
    app.conf.update(
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        enable_utc=True,
        task_default_queue=COORDINATOR_QUEUE,
        # A killed process must not lose what it had taken; the journal makes twice harmless.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        # A blip must not kill a recovery in the middle.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        task_publish_retry_policy=PUBLISH_RETRY,
        # The truth is in the store; no run waits for a result backend.
        task_ignore_result=not result_backend,
        task_store_errors_even_if_ignored=False,
        result_expires=7 * 86400,
        worker_send_task_events=True,
        task_send_sent_event=True,
        worker_hijack_root_logger=False,
        worker_enable_remote_control=True,
        # An exclusive one stays locked by a connection whose other end was lost, and keeps the
        # successor out until the broker knows of that.
        control_queue_exclusive=False,
        control_queue_durable=True,
        # What a broker complains of while it comes and goes ends a worker otherwise.
        broker_channel_error_retry=True,
        broker_heartbeat=10,
        broker_transport_options=_transport_options(broker_url, consumer),
    )
    if consumer:
        app.conf.task_queues = [Queue(consumer, Exchange(consumer), routing_key=consumer)]
    return app


def _transport_options(broker_url: str, consumer: str) -> dict[str, Any]:
    if not is_redis(broker_url):
        bounds = {"read_timeout": SWALLOWED_SECONDS, "write_timeout": SWALLOWED_SECONDS}
        return {"confirm_publish": True, **bounds}
    options: dict[str, Any] = {
        # A step may last for hours; what a crash left is taken back at start, not by time-out.
        "visibility_timeout": 7 * 86400,
        "socket_keepalive": True,
        "socket_connect_timeout": 5,
        "socket_timeout": SWALLOWED_SECONDS,
        # A question that a broken connection swallowed is noticed after twice that, not a minute.
        "health_check_interval": 5,
        # One list for each queue: it can be taken from in one step.
        "priority_steps": [0],
    }
    return options | {"own_queue": consumer} | _own_place(consumer) if consumer else options


def _own_place(consumer: str) -> dict[str, str]:
    """Where on Redis it keeps what it has taken, so that it may take it back without asking."""
    return {
        "unacked_key": f"{UNACKED}.{consumer}",
        "unacked_index_key": f"{UNACKED_INDEX}.{consumer}",
        "unacked_mutex_key": f"unacked_mutex.{consumer}",
    }


def result_backend_for(broker_url: str) -> str:
    """The same Redis holds the results of `celery call`; RabbitMQ cannot, and none is needed."""
    return broker_url if is_redis(broker_url) else ""


def is_redis(broker_url: str) -> bool:
    return broker_url.startswith(("redis", "unix"))


def take_back(app: Celery, place: dict[str, str] | None = None) -> int:
    """Put back what a killed predecessor of this very process had taken; how many it was.

    Only for Redis and Valkey: RabbitMQ does it by itself when the connection breaks. Right
    only because a lock guarantees that no other process keeps what it took in this place.
    """
    with app.connection_for_read(transport_options=place) as connection:
        if connection.transport.driver_type != "redis":
            return 0
        channel = connection.default_channel
        with channel.conn_or_acquire() as client:
            tags = client.zrange(channel.unacked_index_key, 0, -1)
        for tag in reversed(tags):
            channel.qos.restore_by_tag(
                tag.decode() if isinstance(tag, bytes) else tag, leftmost=True
            )
        return len(tags)


def take_back_patiently(
    app: Celery,
    away: Callable[[Exception], None],
    take: Callable[[Celery], int] = take_back,
) -> int:
    """`take` once the broker is there; each second that it is not, `away` is told."""
    while True:
        try:
            return take(app)
        # Kombu's own name for it is not among those of the transport.
        except (
            OperationalError,
            *app.connection_for_read().recoverable_connection_errors,
        ) as error:
            away(error)
            time.sleep(1)


def consume_in_term(app: Celery, queue: str, term: int) -> None:
    """From now on what is taken has a place of this term's: it can be told from an earlier one's.

    A coordinator that only stood still wakes up and may take messages before it knows that
    another leads; it ends without acknowledging them.
    """
    if is_redis(app.conf.broker_read_url):
        app.conf.broker_transport_options |= _own_place(f"{queue}.{term}")


def take_back_earlier(app: Celery, queue: str, term: int) -> int:
    """Put back what coordinators of earlier terms took and did not do; how many it was."""
    from workers.taking import give_back

    if not is_redis(app.conf.broker_read_url):
        return 0
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        places = [queue, *(f"{queue}.{each}" for each in range(max(1, term - TERMS), term))]
        with channel.conn_or_acquire() as client:
            left = [each for each in places if client.zcard(f"{UNACKED_INDEX}.{each}")]
            count = sum(give_back(client, f"{UNACKED}.{each}", queue) for each in places)
    return count + sum(take_back(app, _own_place(each)) for each in left)
