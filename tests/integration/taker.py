"""Takes messages for `one` as an agent does, writes down each one's number, and acknowledges it."""

from __future__ import annotations

import sys
from pathlib import Path

from kombu import Consumer, Message, Queue

from workers.broker import host_queue, make_app, take_back


def main(broker_url: str, done: str) -> None:
    app = make_app(broker_url, consumer=host_queue("one"))
    take_back(app)
    with Path(done).open("a") as out, app.connection_for_read() as connection:

        def do(message: Message) -> None:
            out.write(f"{message.headers['number']}\n")
            out.flush()
            message.ack()

        with Consumer(connection, [Queue(host_queue("one"))], prefetch_count=1, on_message=do):
            while True:
                connection.drain_events()


if __name__ == "__main__":
    main(*sys.argv[1:])
