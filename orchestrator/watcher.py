"""The watcher: every watch is asked when it is due, by one thread with one event loop.

What lives here: starting the questions in time, handing on the readings, and knowing what was
not answered. What must not: any judgement of a reading, and anything that waits; `take` is
called on the loop, so what it does delays every other question.

Times are kept on the monotonic clock, so that a wall clock that jumps neither delays a question
nor makes thousands due at once. Readings carry the wall clock's time.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from orchestrator.asking import ask
from orchestrator.core.health import COORDINATOR, MISSED_INTERVALS, Watch
from orchestrator.schedule import Due, Histogram, Lateness, Schedule
from tasks.asking import Probe
from tasks.contract import Kind, Reading
from tasks.host import LocalHost
from tasks.questions import Read

#: Of one watch at once. A service that answers slower than it is asked is not asked still more.
MOST_OUT = 3
MOST_FILES = 65536

HERE = LocalHost()
log = logging.getLogger(__name__)


class Watcher:
    """`take` gets each reading with its watch's name. Any thread may call the methods."""

    def __init__(
        self,
        take: Callable[[str, Reading], None],
        probes: Mapping[str, Probe[Any]],
        clock: Callable[[], float] = time.time,
        read: Read = HERE.read,
    ) -> None:
        self._take, self._probes, self._clock, self._read = take, probes, clock, read
        self._watches: Mapping[str, Watch] = {}
        self._known_at: dict[str, float] = {}  #: when something was last learned; at first, since
        self._schedule, self._late = Schedule(), Histogram()
        self._out: set[asyncio.Task[None]] = set()
        self._out_of: Counter[str] = Counter()
        self._complained: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        _allow_many_files()
        runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._loop = runner.get_loop()
        # Times that went by before the start are none that were missed.
        self._schedule, self._known_at = Schedule(), {}
        self._loop.call_soon(self._adopt, self._watches)
        self._thread = threading.Thread(target=self._run, args=(runner,), name="watcher")
        self._thread.daemon = True
        self._thread.start()

    def stop(self) -> None:
        """What is out is given up. No reading is taken after this."""
        if self._loop and self._thread:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop = self._thread = None

    def watch(self, watches: Sequence[Watch]) -> None:
        """From now on these, as far as they are asked from here over the network."""
        mine = {
            each.name: each
            for each in watches
            if each.vantage == COORDINATOR
            and (probe := self._probes.get(each.probe))
            and probe.pose is not None
        }
        if self._loop is None:
            self._watches = mine
        else:
            self._loop.call_soon_threadsafe(self._adopt, mine)

    def lateness(self) -> Lateness:
        """From due to started, over the last five to ten minutes."""
        return self._late.so_far()

    def overdue(self) -> tuple[str, ...]:
        """The watches of which nothing was learned for longer than three intervals and a timeout.

        On the monotonic clock, and told by whoever asks: the watcher itself may be what stands.
        """
        now, known_at = time.monotonic(), self._known_at
        return tuple(
            name
            for name, each in self._watches.items()
            if now - known_at.get(name, now) > MISSED_INTERVALS * each.interval_s + each.timeout_s
        )

    def _run(self, runner: asyncio.Runner) -> None:
        # Leaving it cancels what is out, waits for that, and closes the loop.
        with runner:
            runner.get_loop().run_forever()
            if self._timer:
                self._timer.cancel()

    def _adopt(self, watches: Mapping[str, Watch]) -> None:
        now = time.monotonic()
        self._known_at = {name: self._known_at.get(name, now) for name in watches}
        self._complained &= watches.keys()
        self._watches = watches
        self._schedule.replace(watches.values(), now)
        self._arm()

    def _arm(self) -> None:
        if self._timer:
            self._timer.cancel()
        at = self._schedule.next_at()
        if self._loop and at is not None:
            self._timer = self._loop.call_at(at, self._tick)

    def _tick(self) -> None:
        now = time.monotonic()
        for due in self._schedule.take(now):
            if due.missed:
                self._late.add(now - due.at, now, skipped=due.missed)
            self._begin(due, now)
        self._arm()

    def _begin(self, due: Due, now: float) -> None:
        watch = due.watch
        if self._out_of[watch.name] >= MOST_OUT:
            self._late.add(watch.interval_s, now, skipped=1)
            return
        self._out_of[watch.name] += 1
        check = asyncio.get_running_loop().create_task(self._check(due))
        self._out.add(check)
        check.add_done_callback(self._out.discard)

    async def _check(self, due: Due) -> None:
        watch, now = due.watch, time.monotonic()
        self._late.add(now - due.at - due.missed * watch.interval_s, now)
        try:
            reading = await self._asked(watch)
            # Of one that was replaced while it was out nobody wants to know.
            if self._watches.get(watch.name) == watch:
                if reading.kind is not Kind.UNKNOWN:
                    self._known_at[watch.name] = time.monotonic()
                self._take(watch.name, reading)
        except Exception as error:  # noqa: BLE001 - one check must not end the watching of all
            self._complain(watch, error)
        finally:
            self._out_of[watch.name] -= 1
            if not self._out_of[watch.name]:
                del self._out_of[watch.name]

    async def _asked(self, watch: Watch) -> Reading:
        asked_at = self._clock()
        try:
            return await ask(
                self._probes[watch.probe],
                watch.arguments,
                watch.vantage,
                read=self._read,
                clock=self._clock,
                seconds=watch.timeout_s,
            )
        except Exception as error:  # noqa: BLE001 - a fault of ours, told as what it is
            self._complain(watch, error)
            said = f"could not be asked, by a fault in this program or its set-up: {error!r}"
            return Reading(watch.probe, watch.vantage, asked_at, 0.0, error=said, kind=Kind.UNKNOWN)

    def _complain(self, watch: Watch, error: Exception) -> None:
        if watch.name not in self._complained:
            self._complained.add(watch.name)
            log.error("%s: its check failed; told once", watch.name, exc_info=error)


def _allow_many_files() -> None:
    """When all hang that are asked, each of them holds a connection."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if most == resource.RLIM_INFINITY else min(MOST_FILES, most)
    if now != resource.RLIM_INFINITY and now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
