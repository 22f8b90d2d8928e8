"""The agent: one on each machine, obeying signed orders from that machine's queue.

What lives here: the Celery side of an agent and its start-up. What must not: deciding whether
or how an order is carried out (guard.py, executor.py), and any import of the coordinator.

Settings come from the environment, because pydantic would cost each machine 10 MB:
AUTOBOT_DR_MACHINE, AUTOBOT_DR_BROKER_URL, AUTOBOT_DR_STATE (journal, locks),
AUTOBOT_DR_AGENT_KEY and AUTOBOT_DR_COORDINATOR_PUB (files), AUTOBOT_DR_CONCURRENCY (1), and
AUTOBOT_DR_HYPERVISORS (the drivers that this one will need, with commas; loaded beforehand).
"""

from __future__ import annotations

import fcntl
import gc
import logging
import os
import socket
import sys
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from celery import Celery, bootsteps
from celery.platforms import SecurityWarning
from celery.signals import worker_process_init

from tasks import catalog, hypervisors
from tasks.contract import Json
from tasks.host import LocalHost
from tasks.signing import private_key, public_key
from tasks.watching import Beat
from workers.broker import host_queue, make_app, take_back_patiently
from workers.executor import Identity
from workers.jobsheets import take_sheet
from workers.ledger import keep_reserve
from workers.obeying import Obeying, StepEnded
from workers.outbox import mark, send_by
from workers.sentry import Sentry
from workers.voice import BEAT_EVENT, Unheard, Voice
from workers.watchlist import take_list
from workers.withdrawing import take_withdrawals

log = logging.getLogger("autobot_dr.agent")

KEEP_SECONDS = 30 * 86400  #: how long the journal remembers what is over


class SettingMissing(Exception):
    """A setting that the agent cannot do without is missing or does not work."""


def identity_from(environment: Mapping[str, str]) -> Identity:
    def wanted(name: str) -> str:
        if not environment.get(name):
            raise SettingMissing(f"{name} is not set; put it into the agent's environment file")
        return environment[name]

    def content(name: str) -> str:
        try:
            return Path(wanted(name)).read_text()
        except OSError as error:
            raise SettingMissing(f"{name}: {error.filename}: {error.strerror}") from error

    state = Path(wanted("AUTOBOT_DR_STATE"))
    try:
        state.mkdir(parents=True, exist_ok=True)
        return Identity(
            wanted("AUTOBOT_DR_MACHINE"),
            private_key(content("AUTOBOT_DR_AGENT_KEY")),
            public_key(content("AUTOBOT_DR_COORDINATOR_PUB")),
            state,
        )
    except OSError as error:
        raise SettingMissing(f"AUTOBOT_DR_STATE: {state}: {error.strerror}") from error
    except ValueError as error:
        raise SettingMissing(f"a key file does not hold an Ed25519 key: {error}") from error


def build(identity: Identity, broker_url: str, *, concurrency: int = 1) -> Celery:
    """The agent's app: every operation of the catalogue as a task under its own name."""
    app = make_app(broker_url, consumer=host_queue(identity.machine))
    app.conf.update(
        # Only prefork ends a step that hangs beyond every deadline of its own.
        worker_pool="prefork",
        worker_concurrency=concurrency,
        # That a report or the next step was sent, Flower hears from who receives it; to tell it
        # from here too would hold up the chain by two messages at each step.
        task_send_sent_event=False,
    )

    obeying = Obeying(app, identity)

    def obey(self: Any, order: Mapping[str, Json]) -> None:
        obeying.obey(order, sent_as=self.name, rest=self.request.chain)

    for name in catalog.operations():
        app.task(
            obey,
            name=name,
            bind=True,
            shared=False,
            throws=(StepEnded,),
            ignore_result=True,
            after_return=obeying.tell_outcome,
        )

    _take_papers(app, identity)

    @worker_process_init.connect(weak=False)
    def _warm_up(**_: Any) -> None:
        """Open the journal before the first order needs it."""
        obeying.journal.forget_before(time.time() - KEEP_SECONDS)

    return app


def _take_papers(app: Celery, identity: Identity) -> None:
    """What the coordinator hands out beside orders."""

    @app.task(name="agent.job", shared=False, ignore_result=True, send_events=False)
    def job(sheet: Mapping[str, Json]) -> None:
        if reason := take_sheet(identity, sheet):
            log.warning("a job sheet is refused, %s", reason)

    @app.task(name="agent.watch", shared=False, ignore_result=True, send_events=False)
    def watch(watch_list: Mapping[str, Json]) -> None:
        if reason := take_list(identity, watch_list):
            log.warning("a watch list is refused, %s", reason)

    take_withdrawals(app, identity)


def make_sentry(app: Celery, identity: Identity) -> Sentry:
    # Under the worker's own name, so that Flower counts no second worker.
    voice = Voice(app, f"agent@{identity.machine}")

    # What a crash or a broken broker kept from being sent goes with the first beat.
    away = True

    def say(beat: Beat) -> None:
        nonlocal away
        try:
            voice.say(BEAT_EVENT, beat=beat.to_wire())
            if away or mark(identity).exists():
                send_by(voice, identity)
        except Unheard:
            away = True
            raise
        away = False

    return Sentry(identity, LocalHost(), catalog.probes(), say)


def main() -> int:
    # Systemd and the hypervisor want root; Celery's advice is for workers that unpickle.
    warnings.simplefilter("ignore", SecurityWarning)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        identity = identity_from(os.environ)
        concurrency = int(os.environ.get("AUTOBOT_DR_CONCURRENCY", "1"))
        broker_url = os.environ["AUTOBOT_DR_BROKER_URL"]
    except (SettingMissing, ValueError, KeyError) as error:
        print(f"autobot-dr agent: {error}", file=sys.stderr)
        return 2
    lock = (identity.state / "agent.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"autobot-dr agent: one runs already on {identity.state}; stop it", file=sys.stderr)
        return 1
    keep_reserve(identity.state)
    app = build(identity, broker_url, concurrency=concurrency)
    if count := take_back_patiently(app, _away):
        log.info("took back %d orders that were begun before a crash", count)

    return _serve(app, identity)


def _serve(app: Celery, identity: Identity) -> int:
    """Obey and watch until SIGTERM."""
    sentry = make_sentry(app, identity)

    class Ready(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery ships no types
        """After the pool's processes, which must not be forked beside threads, and before the
        broker, which a machine's boot must not wait for: it may itself be coming back."""

        requires = ("celery.worker.components:Pool",)

        def start(self, _worker: Any) -> None:
            sentry.start()
            _notify_systemd("READY=1")

    app.steps["worker"].add(Ready)
    for driver in filter(None, os.environ.get("AUTOBOT_DR_HYPERVISORS", "").split(",")):
        hypervisors.load(driver)
    # What is imported by now is never collected: it stays shared with the pool's processes.
    gc.collect()
    gc.freeze()
    worker = app.Worker(
        hostname=f"agent@{identity.machine}",
        queues=[host_queue(identity.machine)],
        without_gossip=True,
        without_mingle=True,
        loglevel="WARNING",
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


def _away(error: Exception) -> None:
    log.warning("no broker yet: %s", error)
    _notify_systemd("READY=1")


def _notify_systemd(state: str) -> None:
    if address := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.connect(address.replace("@", "\0", 1))
            notify.send(state.encode())


if __name__ == "__main__":
    raise SystemExit(main())
