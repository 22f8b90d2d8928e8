"""What others send to the coordinator: its tasks, its queue, and the clock that drives it.

What lives here: the Celery side of the coordinator. What must not: deciding; every task hands
its message to `orchestrator.coordinator` at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from celery import Celery
from celery.exceptions import Reject
from celery.worker import state

from orchestrator.backups import BackupRefused, Backups, UnknownJob
from orchestrator.coordinator import Coordinator, UnknownScenario
from orchestrator.ports import StoreUnavailable
from tasks.contract import Headway, Json, Progress, WireError, WorkReport
from workers.broker import COORDINATOR_QUEUE

log = logging.getLogger("autobot_dr.coordinator")

T = TypeVar("T")

TICK_SECONDS = 1.0
STORE_PAUSE_SECONDS = 2  #: before a message is tried again while the store is away


def register(app: Celery, coordinator: Coordinator) -> None:
    """The coordinator's tasks, under the names that agents and people send them by."""

    @app.task(name="orchestrator.recover", shared=False, bind=True, throws=(UnknownScenario,))
    def recover(self: Any, scenario: str, reason: str = "by hand, by Celery") -> dict[str, str]:
        run = self.request.id
        incident = patiently(
            lambda: coordinator.recover(scenario, reason=reason, run=run), coordinator.leads
        )
        return {"run": incident.run, "incident": incident.id, "state": incident.state.value}

    # Nobody watches reports in Flower; telling of each three times costs as much as taking it.
    @app.task(name="orchestrator.report", ignore_result=True, shared=False, send_events=False)
    def report(report: Mapping[str, Json]) -> None:
        if message := _read(WorkReport, report):
            patiently(lambda: coordinator.report(message), coordinator.leads)

    @app.task(name="orchestrator.progress", ignore_result=True, shared=False, send_events=False)
    def progress(progress: Mapping[str, Json]) -> None:
        if message := _read(Progress, progress):
            patiently(lambda: coordinator.progress(message), coordinator.leads)

    @app.task(name="orchestrator.headway", ignore_result=True, shared=False, send_events=False)
    def headway(headway: Mapping[str, Json]) -> None:
        if message := _read(Headway, headway):
            patiently(lambda: coordinator.headway(message))

    @app.task(name="orchestrator.status_check", ignore_result=True, shared=False)
    def status_check(run: str, rung: int, branch: int, seconds: float) -> None:
        patiently(lambda: coordinator.check(run, rung, branch, seconds), coordinator.leads)


def register_backups(app: Celery, backups: Backups) -> None:
    """What people and beat send about backups."""

    @app.task(
        name="orchestrator.backup", shared=False, bind=True, throws=(UnknownJob, BackupRefused)
    )
    def backup(self: Any, job: str, reason: str = "by hand, by Celery") -> dict[str, str]:
        run = self.request.id
        incident = patiently(
            lambda: backups.take(job, reason=reason, run=run), backups.coordinator.leads
        )
        return {"run": incident.run, "incident": incident.id, "state": incident.state.value}

    # Two beats may send it, or one late: a slot is taken once, whenever this looks.
    @app.task(name="orchestrator.backups_due", ignore_result=True, shared=False)
    def backups_due() -> None:
        patiently(lambda: backups.take_due(backups.coordinator.now()), backups.coordinator.leads)


def patiently(take: Callable[[], T], leads: Callable[[], bool] = lambda: True) -> T:
    """A message waits here while the store is away; unacknowledged, it outlives this process.

    Once another may lead, it goes back to the queue for that one.
    """
    while True:
        try:
            return take()
        except StoreUnavailable as away:
            if not leads():
                raise Reject(str(away), requeue=True) from away
            log.warning("the store is away, trying again in %d s: %s", STORE_PAUSE_SECONDS, away)
            time.sleep(STORE_PAUSE_SECONDS)


def _read(kind: Any, message: Mapping[str, Json]) -> Any:
    try:
        return kind.from_wire(message)
    except WireError as error:
        log.warning("a message on the coordinator's queue is not ours: %s", error)
        return None


def consume(
    app: Celery, *, name: str = "coordinator", leads: Callable[[], bool] = lambda: True
) -> int | None:
    """Serve the coordinator's queue until SIGTERM, or until we do not lead: then None.

    Threads: a check waits, it does not compute.
    """
    worker = app.Worker(
        hostname=f"{name}@orchestrator",
        queues=[COORDINATOR_QUEUE],
        pool="threads",
        concurrency=16,
        prefetch_multiplier=4,
        without_gossip=True,
        without_mingle=True,
        loglevel="WARNING",
        quiet=True,
    )
    handed_back = threading.Event()

    def hand_back() -> None:
        if not leads():
            handed_back.set()
            state.should_stop = 0

    watch = Ticker(hand_back)
    watch.start()
    worker.start()
    watch.stop()
    # It is Celery's for the whole process, and we may begin anew.
    state.should_stop = None
    return None if handed_back.is_set() else int(worker.exitcode or 0)


class Ticker(threading.Thread):
    """Calls `tick` once a second, or as told, until stopped, and at once when woken.

    A failing tick is logged and tried again.
    """

    def __init__(self, tick: Callable[[], object], seconds: float = TICK_SECONDS) -> None:
        super().__init__(name="ticker", daemon=True)
        self._seconds = seconds
        self._tick, self._woken, self._stopping = tick, threading.Event(), False

    def run(self) -> None:
        due = time.monotonic()
        while True:
            self._woken.wait(max(0.0, due - time.monotonic()))
            self._woken.clear()
            if self._stopping:
                return
            due = max(due, time.monotonic()) + self._seconds
            try:
                self._tick()
            except Exception:
                log.exception("a tick failed; the next one is in %.0f s", self._seconds)

    def wake(self) -> None:
        self._woken.set()

    def stop(self) -> None:
        self._stopping = True
        self._woken.set()
        self.join(timeout=5)
