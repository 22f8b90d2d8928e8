"""The ears: what the coordinator hears from the agents, and the watch lists that they get.

What lives here: listening, for ever, and sending an agent its list. What must not: whom to
believe and when to send (hearing.py), what a reading means (the callable that is given), and
the store; nothing here outlives the process.

Not to hear is not silence of the others: an echo of our own goes the same way as the beats,
and while it does not come back, `listening_since` is None.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from celery import Celery
from celery.events.event import get_exchange
from kombu import Connection, Consumer, Queue
from nacl.signing import SigningKey, VerifyKey

from orchestrator.core.health import Watch
from tasks.contract import BEAT_SECONDS, Json, Reading, WireError
from tasks.watching import Beat
from workers.broker import host_queue
from workers.hearing import STALE, Gate, Lists, readings_of
from workers.voice import (
    BEAT_EVENT,
    ECHO_EVENT,
    PATIENCE_SECONDS,
    ROUTING_KEYS,
    Unheard,
    Voice,
    bounded_connection,
    broken,
)

log = logging.getLogger("autobot_dr.coordinator")

DEAF_AFTER = 2 * BEAT_SECONDS  #: without an echo
ECHO_SECONDS, FIRST_ECHO_SECONDS = BEAT_SECONDS, 0.5  #: between two; until the first came back
AGAIN_SECONDS = 1.0  #: before a broken connection is made anew
DRAIN_SECONDS = 0.5  #: how long one wait for the broker lasts
QUEUE_SECONDS = 5  #: what waited longer for us on RabbitMQ is dropped there
SAY_AGAIN_SECONDS = 60.0  #: before the same refusal is logged again

Heard = Callable[[str, float, Mapping[str, Reading]], None]


class Ears(threading.Thread):
    """Hears until stopped. `heard` and `doubted` are called in it, and wait for nothing."""

    def __init__(
        self,
        app: Celery,
        key: SigningKey,
        agents: Mapping[str, VerifyKey],
        heard: Heard,
        now: Callable[[], float] = time.time,
        doubted: Callable[[str, float, str], None] = lambda *_: None,
    ) -> None:
        super().__init__(name="ears", daemon=True)
        self.app, self.heard, self.now, self.doubted = app, heard, now, doubted
        self.refused: Counter[str] = Counter()  #: beats, by the first word of the reason
        self._gate, self._lists, self._voice = Gate(agents), Lists(key), Voice(app, "ears")
        self._stopping = threading.Event()
        self._said: dict[tuple[str, str], float] = {}
        self._deaf = False
        self._own = ""  #: what our echo says, drawn for each connection
        self._echo_at = 0.0  #: when it last came back, by the monotonic clock
        self._since: float | None = None

    def set_lists(self, lists: Mapping[str, Sequence[Watch]]) -> None:
        """What each machine's agent is to ask, from now on."""
        self._lists.want(lists)

    def listening_since(self) -> float | None:
        """Since when agents can be heard without a break; None while they cannot."""
        since, echo_at = self._since, self._echo_at
        return since if time.monotonic() - echo_at <= DEAF_AFTER else None

    def stop(self) -> None:
        self._stopping.set()
        if self.is_alive():
            self.join(timeout=2 * PATIENCE_SECONDS)

    def run(self) -> None:
        while not self._stopping.is_set():
            connection = bounded_connection(self.app)
            try:
                self._listen(connection)
            except Unheard as reason:
                self._went_deaf(str(reason))
            except broken(connection) as error:
                self._went_deaf(f"{type(error).__name__}: {error}")
            except Exception:
                log.exception("listening failed; again in %.0f s", AGAIN_SECONDS)
            self._since = None
            connection.collect(socket_timeout=1)
            self._voice.close()
            self._stopping.wait(AGAIN_SECONDS)

    def _went_deaf(self, reason: str) -> None:
        if not self._deaf:
            log.warning("the agents cannot be heard: %s", reason)
        self._deaf = True

    def _listen(self, connection: Connection) -> None:
        connection.ensure_connection(max_retries=1, timeout=PATIENCE_SECONDS)
        self._own = secrets.token_hex(16)
        self._lists.ask_afresh()
        queue = Queue(
            f"autobot-dr.ears.{self._own}",
            exchange=get_exchange(connection, self.app.conf.event_exchange),
            routing_key=ROUTING_KEYS,
            durable=False,
            exclusive=True,
            auto_delete=True,
            message_ttl=QUEUE_SECONDS,
        )
        consumer = Consumer(
            connection.default_channel,
            [queue],
            no_ack=True,
            accept=["json"],
            callbacks=[self._take],
            on_decode_error=lambda _message, error: self._refuse("", f"malformed: {error}"),
        )
        with consumer:
            self._drain(connection)

    def _drain(self, connection: Connection) -> None:
        begun = time.monotonic()
        echo_due = begun
        while not self._stopping.is_set():
            now = time.monotonic()
            if now - max(begun, self._echo_at) > DEAF_AFTER:
                raise Unheard("the broker no longer brings what we say ourselves")
            if now >= echo_due:
                self._voice.say(ECHO_EVENT, own=self._own)
                echo_due = now + (FIRST_ECHO_SECONDS if self._since is None else ECHO_SECONDS)
            try:
                connection.drain_events(timeout=DRAIN_SECONDS)
            except TimeoutError:
                continue

    def _take(self, event: Json, _message: Any) -> None:
        """One event. Nothing that a stranger can say may end the listening."""
        kind = event.get("type") if isinstance(event, dict) else None
        if kind == ECHO_EVENT:
            self._echo(event)
        elif kind == BEAT_EVENT:
            self._beat(event.get("beat"))
        else:
            self._refuse("", "malformed: not one of our events")

    def _echo(self, event: Mapping[str, Json]) -> None:
        if event.get("own") != self._own:
            return
        self._echo_at = time.monotonic()
        if self._since is None:
            self._since = self.now()
            if self._deaf:
                log.warning("the agents can be heard again")
            self._deaf = False

    def _beat(self, message: Json) -> None:
        now = self.now()
        try:
            beat = Beat.from_wire(message)
            if reason := self._gate.refusal(beat, now):
                known = beat.agent if beat.agent in self._gate.agents else ""
                if reason.startswith(STALE):
                    self.doubted(known, now, reason.removeprefix(STALE))
                return self._refuse(known, reason)
            readings = readings_of(beat, self._lists.names(beat.agent), now)
        except WireError as fault:
            return self._refuse("", f"malformed: {fault}")
        try:
            self.heard(beat.agent, now, readings)
        except Exception:
            log.exception("a beat of %s was heard and could not be used", beat.agent)
        if watch_list := self._lists.due_for(beat, now):
            queue = host_queue(beat.agent)
            self._voice.put("agent.watch", queue, watch_list=watch_list.to_wire())
        return None

    def _refuse(self, machine: str, reason: str) -> None:
        word = reason.partition(":")[0]
        self.refused[word] += 1
        now = time.monotonic()
        if now - self._said.get((machine, word), -SAY_AGAIN_SECONDS) >= SAY_AGAIN_SECONDS:
            self._said[machine, word] = now
            log.warning("a beat of %s is refused, %s", machine or "somebody", reason)
