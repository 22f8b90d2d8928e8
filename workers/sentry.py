"""The sentry: what an agent asks on its own machine again and again, and its beat.

What lives here: when a probe is due, when a beat goes out, and the threads for both in the
agent's main process. What must not: Celery (voice.py), taking a watch list (watchlist.py), and
what a reading means; the coordinator judges.

The beat has a thread of its own, so that no probe holds it up; of probes, those that may take
long have one, so that they hold up no other. While the broker is away the sentry goes on; only
the newest reading of each watch is kept for the beat that gets through.
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from queue import SimpleQueue
from typing import Any

from tasks.arguments import BadArguments
from tasks.asking import Probe, take_reading
from tasks.contract import BEAT_SECONDS, Kind, Reading
from tasks.host import Host
from tasks.signing import sign
from tasks.watching import Beat, WatchLine, WatchList
from workers.executor import Identity
from workers.voice import Unheard
from workers.watchlist import held_list, list_file

log = logging.getLogger("autobot_dr.agent")

QUICK_SECONDS = 5.0  #: a probe that may take longer counts as slow
QUICK_THREADS, SLOW_THREADS = 3, 1
GAP_SECONDS = 0.2  #: between two beats, so that what comes together goes together
LOOK_SECONDS = 1.0  #: between two looks for another list
AGAIN_SECONDS = 2.0  #: after a beat that was not taken
SETTLED_AFTER = 5  #: alike in a row: what came before is forgotten by every rule of judging
#: What people read of a reading, in characters; the rest stays here.
ANSWER_LIMIT, TEXT_LIMIT, COMPLAINT_LIMIT = 4096, 500, 20


class Rota:
    """Which line is due when. The clock is an argument."""

    def __init__(self) -> None:
        self._lines: dict[str, WatchLine] = {}
        self._due: dict[str, float] = {}
        self._running: set[str] = set()

    @property
    def beat_seconds(self) -> float:
        """No reading shall wait for a beat longer than for its successor."""
        return min([BEAT_SECONDS, *(each.interval_s for each in self._lines.values())])

    def replace(self, lines: Sequence[WatchLine], now: float) -> None:
        """Another list. What stays as it was keeps its turn; what is new is due at once."""
        before, self._lines = self._lines, {each.name: each for each in lines}
        self._due = {
            name: self._due[name] if before.get(name) == line else now
            for name, line in self._lines.items()
        }

    def take(self, now: float) -> tuple[list[WatchLine], float | None]:
        """The lines to ask now, and when the next one is due; None without any.

        One whose last asking still goes on misses this turn, and keeps the next.
        """
        taken = []
        for name, due in self._due.items():
            if due > now:
                continue
            interval = self._lines[name].interval_s
            self._due[name] = due + interval * (1 + (now - due) // interval)
            if name not in self._running:
                self._running.add(name)
                taken.append(self._lines[name])
        return taken, min(self._due.values(), default=None)

    def done(self, name: str) -> bool:
        """The asking is over; whether the watch is still on the list."""
        self._running.discard(name)
        return name in self._lines


class Pending:
    """The newest reading of each watch that no beat has carried yet."""

    def __init__(self) -> None:
        self._readings: dict[str, Reading] = {}
        self._rows: dict[str, tuple[Kind, int]] = {}

    def add(self, name: str, reading: Reading) -> bool:
        """Whether it must go at once: until it says what all before it said, it may decide."""
        kind, row = self._rows.get(name, (reading.kind, 0))
        row = row + 1 if kind is reading.kind else 1
        self._rows[name] = (reading.kind, row)
        self._readings[name] = reading
        return row < SETTLED_AFTER

    def drain(self) -> Mapping[str, Reading]:
        drained, self._readings = self._readings, {}
        return drained

    def put_back(self, readings: Mapping[str, Reading]) -> None:
        """They were not taken; what came since is newer."""
        self._readings = {**readings, **self._readings}


def ask(host: Host, probes: Mapping[str, Probe[Any]], line: WatchLine, vantage: str) -> Reading:
    """One reading, whatever happens: what cannot be asked here is a reading that says so."""
    asked_at = host.now()
    probe = probes.get(line.probe)
    if probe is None:
        reason = f"this agent has no probe {line.probe!r} (known: {', '.join(sorted(probes))})"
        return Reading(line.probe, vantage, asked_at, 0.0, error=reason, kind=Kind.UNKNOWN)
    arguments = dict(line.arguments)
    if "seconds" in {each.name for each in fields(probe.arguments)}:
        arguments.setdefault("seconds", line.timeout_s)
    try:
        return sendable(take_reading(host, probe, arguments, vantage=vantage))
    except BadArguments as fault:
        reason = f"{line.probe}: {fault}"
    except Exception as error:
        # A fault of ours in one probe must neither end the watching nor pass for the service's.
        log.exception("%s: the probe %s failed", line.name, line.probe)
        reason = f"{line.probe} failed in the agent: {error!r}"[:TEXT_LIMIT]
    return Reading(line.probe, vantage, asked_at, 0.0, error=reason, kind=Kind.UNKNOWN)


def sendable(reading: Reading) -> Reading:
    """As it survives JSON and a beat's size; of an answer that does not, its kind remains."""
    try:
        text = json.dumps([reading.answer, reading.metrics], allow_nan=False)
        answer, metrics = json.loads(text)
        if len(text) > ANSWER_LIMIT:
            answer = {"left_out": f"{len(text)} characters are too long for a beat"}
    except (TypeError, ValueError) as fault:
        answer, metrics = {"left_out": f"it cannot be sent: {fault}"}, {}
    return replace(
        reading,
        answer=answer,
        metrics=metrics,
        complaints=tuple(each[:TEXT_LIMIT] for each in reading.complaints[:COMPLAINT_LIMIT]),
        error=reading.error[:TEXT_LIMIT],
    )


@dataclass(frozen=True, slots=True)
class _Held:
    """The list held, with what tells whether the file has changed since."""

    stamp: tuple[int, int] = (0, 0)
    digest: str = ""
    issued_at: float = 0.0


class Sentry:
    """Watches one machine. `say` takes a beat or raises Unheard."""

    def __init__(
        self,
        identity: Identity,
        host: Host,
        probes: Mapping[str, Probe[Any]],
        say: Callable[[Beat], None],
    ) -> None:
        self.identity, self.host, self.probes, self.say = identity, host, probes, say
        self._boot, self._number, self._heard = secrets.token_hex(8), 0, True
        self._rota, self._pending, self._held = Rota(), Pending(), _Held()
        #: Guards the rota and what is pending; told when the list is another one.
        self._change = threading.Condition()
        self._hurry = threading.Event()
        self._quick: SimpleQueue[WatchLine] = SimpleQueue()
        self._slow: SimpleQueue[WatchLine] = SimpleQueue()

    def start(self) -> None:
        """Daemon threads: nothing that they do must hold up the agent's end."""
        loops: list[tuple[Callable[..., None], tuple[Any, ...]]] = [
            (self._beat_for_ever, ()),
            (self._watch_for_ever, ()),
            *[(self._ask_for_ever, (self._quick,))] * QUICK_THREADS,
            *[(self._ask_for_ever, (self._slow,))] * SLOW_THREADS,
        ]
        for loop, arguments in loops:
            name = f"sentry{loop.__name__}"
            threading.Thread(target=loop, args=arguments, name=name, daemon=True).start()

    def _watch_for_ever(self) -> None:
        while True:
            with self._change:
                lines, due = self._rota.take(time.monotonic())
                for line in lines:
                    slow = line.timeout_s > QUICK_SECONDS
                    (self._slow if slow else self._quick).put(line)
                self._change.wait(None if due is None else max(0.0, due - time.monotonic()))

    def _ask_for_ever(self, lane: SimpleQueue[WatchLine]) -> None:
        while True:
            line = lane.get()
            reading = ask(self.host, self.probes, line, self.identity.machine)
            with self._change:
                if self._rota.done(line.name) and self._pending.add(line.name, reading):
                    self._hurry.set()

    def _beat_for_ever(self) -> None:
        while True:
            try:
                self._look_for_another_list()
                self._rest(self._rota.beat_seconds if self._beat() else AGAIN_SECONDS)
            except Exception:
                log.exception("a beat failed; the next one is in %.0f s", BEAT_SECONDS)
                time.sleep(BEAT_SECONDS)

    def _rest(self, seconds: float) -> None:
        """Until the next beat is due, or something must go at once, or the list is another."""
        ends = time.monotonic() + seconds
        time.sleep(GAP_SECONDS)
        while (left := ends - time.monotonic()) > 0:
            if self._hurry.wait(min(left, LOOK_SECONDS)) or self._look_for_another_list():
                break
        self._hurry.clear()

    def _look_for_another_list(self) -> bool:
        try:
            status = list_file(self.identity).stat()
            stamp = (status.st_mtime_ns, status.st_ino)
        except OSError:
            stamp = (0, 0)
        if stamp == self._held.stamp:
            return False
        self._take_up(held_list(self.identity), stamp)
        return True

    def _take_up(self, held: WatchList | None, stamp: tuple[int, int]) -> None:
        self._held = _Held(stamp, held.digest, held.issued_at) if held else _Held(stamp)
        with self._change:
            self._rota.replace(held.lines() if held else (), time.monotonic())
            self._change.notify_all()
        log.info("watching %d things", len(held.watches) if held else 0)

    def _beat(self) -> bool:
        """Whether it was heard."""
        with self._change:
            readings = self._pending.drain()
        self._number += 1
        beat = Beat(
            agent=self.identity.machine,
            boot=self._boot,
            number=self._number,
            at=self.host.now(),
            list_digest=self._held.digest,
            list_issued_at=self._held.issued_at,
            readings={name: each.to_wire() for name, each in readings.items()},
        )
        try:
            self.say(sign(beat, self.identity.key))
        except Unheard as reason:
            with self._change:
                self._pending.put_back(readings)
            if self._heard:
                log.warning("beats are not heard: %s", reason)
            self._heard = False
            return False
        if not self._heard:
            log.warning("beats are heard again")
        self._heard = True
        return True
