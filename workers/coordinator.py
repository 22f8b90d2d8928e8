"""Starts the coordinator's process: settings in, worker, ticker and web out.

What lives here: starting and ending the parts, and the sentences for what keeps it from starting.
What must not: which part is given to which (parts.py). Exit codes are the command line's: 1 for a
fault of the configuration, 6 for a broker that is not there when it must be.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import uvicorn
from celery import Celery
from celery.platforms import SecurityWarning
from fastapi import FastAPI

from orchestrator.config import load
from orchestrator.core.plan import Fault
from orchestrator.leadership import Leadership
from orchestrator.notify.deadman import DeadManSwitch
from orchestrator.notify.opening import calling_faults
from orchestrator.ports import StoreUnavailable
from orchestrator.settings import Settings, read_settings
from orchestrator.setup import load_keys
from orchestrator.store import StoreRefused
from orchestrator.takingin import take_in
from orchestrator.web.access import read_tokens
from tasks.host import LocalHost
from workers.broker import (
    COORDINATOR_QUEUE,
    consume_in_term,
    take_back_earlier,
    take_back_patiently,
)
from workers.inbox import Ticker, consume
from workers.parts import Parts, make_parts

T = TypeVar("T")

TAKE_BACK_SECONDS = 30.0

log = logging.getLogger("autobot_dr.coordinator")


class CannotStart(Exception):
    """The coordinator cannot start; each fault says what to mend. Nothing was started."""


def main() -> int:
    # Only JSON is accepted, so what Celery warns of (unpickling as root) cannot happen.
    warnings.simplefilter("ignore", SecurityWarning)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # What it says of a machine that is down is ours to say, in a sentence.
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    try:
        settings = _sound(read_settings())
        with _only_one(settings.state):
            return _serve(settings)
    except (CannotStart, StoreRefused, StoreUnavailable) as reason:
        print(f"autobot-dr coordinator: {reason}", file=sys.stderr)
        return 1


def _serve(settings: Settings) -> int:
    if settings.broker_url is None:
        raise CannotStart("AUTOBOT_DR_BROKER_URL is not set; `autobot-dr up` brings its own broker")
    configuration = _sound(load(settings.fleet, settings.runbooks))
    if faults := calling_faults(configuration, settings):
        _sound(faults)
    if not configuration.inventory.contacts:
        log.warning("`contacts` is nobody: nobody will be called, whatever happens")
    keys = _sound(load_keys(settings.keys, configuration.fleet.machines))
    tokens = _sound(read_tokens(settings.tokens))
    url = settings.broker_url.get_secret_value()
    parts = make_parts(settings, configuration, keys, url, _end)
    with ExitStack() as running:
        running.callback(parts.store.close)
        parts.leadership.start()
        # After what is on its way, which is still to be marked in our term.
        running.callback(parts.leadership.stop)
        running.callback(parts.deliverer.close)
        running.callback(parts.direct.close)
        running.enter_context(_served(_web(settings, parts.pages(tokens))))
        parts.watching.listen()
        running.callback(parts.watching.ears.stop)
        term = _awaited_term(parts.leadership)
        parts.coordinator.began_at = time.time()
        take_in(parts.store, settings.state, time.time())
        _look_after(parts, running)
        return _consume(parts.app, parts.leadership, term, running)


def _look_after(parts: Parts, running: ExitStack) -> None:
    """Begin what a leader does by itself; `running` ends it."""
    watching = parts.watching
    watching.start()
    running.callback(watching.stop)
    if switch := _dead_man(parts):
        switch.start()
        running.callback(switch.stop)
    for tick, seconds in parts.ticks().items():
        ticker = Ticker(_while_leading(parts.leadership, tick), seconds)
        ticker.start()
        running.callback(ticker.stop)
        if tick == watching.tick:
            watching.overseer.wake = ticker.wake
    parts.backups.hand_out()


def _awaited_term(leadership: Leadership) -> int:
    """The number of our term once we lead. SIGTERM ends it in an orderly way, as it does later."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    return leadership.wait()


def _leave(_number: int, _frame: object) -> None:
    raise SystemExit(0)


def _while_leading(leadership: Leadership, tick: Callable[[], None]) -> Callable[[], None]:
    """Nothing is decided by who does not lead, or does not know whether it still does."""
    return lambda: tick() if leadership.leads() else None


def _consume(app: Celery, leadership: Leadership, term: int, running: ExitStack) -> int:
    """What the leaders before us had taken comes first; one that only stood still, later.

    While we cannot say whether we lead, the queue is left to whoever does.
    """
    consume_in_term(app, COORDINATOR_QUEUE, term)

    def take_back(app: Celery) -> int:
        return take_back_earlier(app, COORDINATOR_QUEUE, term)

    take_back_patiently(app, lambda error: log.warning("no broker yet: %s", error), take_back)
    later = Ticker(lambda: take_back(app), TAKE_BACK_SECONDS)
    later.start()
    running.callback(later.stop)
    while (code := consume(app, leads=leadership.leads)) is None:
        log.warning("reports are left in their queue until the store says who leads")
        _awaited_term(leadership)
    return code


def _end(reason: str) -> None:
    """At once, and without a last word to anybody: what we have in hand is the other's now."""
    log.error("%s; this process ends, and a new one stands by", reason)
    logging.shutdown()
    os._exit(1)


@contextmanager
def _only_one(state: Path) -> Iterator[None]:
    """Two of one state folder would take the lease from each other again and again."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / "coordinator.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotStart(
                f"a coordinator runs already with {state}; end that one, or set "
                "AUTOBOT_DR_STATE to a folder of this one's own"
            ) from None
        yield


def _dead_man(parts: Parts) -> DeadManSwitch | None:
    settings = parts.configuration.inventory.dead_man
    if settings is None:
        return None
    return DeadManSwitch(settings, LocalHost(), parts.watching.complaints, parts.coordinator.now)


@contextmanager
def _served(web: uvicorn.Server) -> Iterator[None]:
    thread = threading.Thread(target=web.run, name="web", daemon=True)
    thread.start()
    try:
        yield
    finally:
        web.should_exit = True
        thread.join(timeout=5)


def _sound(found: T | tuple[Fault, ...]) -> T:
    if isinstance(found, tuple):
        raise CannotStart("; ".join(str(each) for each in found))
    return found


def _web(settings: Settings, app: FastAPI) -> uvicorn.Server:
    """Served in a thread: signals belong to the Celery worker in the main one."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host=settings.listen_address,
            port=settings.listen_port,
            log_level="warning",
            timeout_graceful_shutdown=2,
        )
    )


if __name__ == "__main__":
    raise SystemExit(main())
