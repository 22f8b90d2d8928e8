"""Starts the coordinator's process: settings in, worker, ticker and web out.

What lives here: putting the parts together, and the sentences for what keeps it from starting.
What must not: any behaviour of the parts. Exit codes are those of the command line: 1 for a
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

from orchestrator.backups import Backups
from orchestrator.config import Configuration, load
from orchestrator.coordinator import Coordinator, Protected
from orchestrator.core.plan import Fault
from orchestrator.kitkeeping import KitKeeper
from orchestrator.leadership import Leadership, candidate
from orchestrator.lookout import Lookout
from orchestrator.notify.deadman import DeadManSwitch
from orchestrator.notify.jobpings import JobPings
from orchestrator.notify.opening import calling_faults, make_deliverer
from orchestrator.ports import StoreUnavailable
from orchestrator.settings import Settings, read_settings
from orchestrator.setup import load_keys
from orchestrator.store import StoreRefused, open_store
from orchestrator.takingin import take_in
from orchestrator.web.access import read_tokens
from orchestrator.web.app import make_web
from tasks import catalog
from tasks.host import LocalHost
from workers.broker import (
    COORDINATOR_QUEUE,
    consume_in_term,
    make_app,
    result_backend_for,
    take_back_earlier,
    take_back_patiently,
)
from workers.carrier import DirectCarrier
from workers.inbox import Ticker, consume, register, register_backups
from workers.publisher import ChainPublisher
from workers.watching import Watching
from workers.ways import Ways

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
    store = open_store(settings.store_url.get_secret_value())
    leadership = Leadership(store, candidate(settings.state, settings.public_url), _end)
    url = settings.broker_url.get_secret_value()
    app = make_app(url, consumer=COORDINATOR_QUEUE, result_backend=result_backend_for(url))
    direct = DirectCarrier(configuration.inventory, keys.coordinator, settings.state / "agent")
    chain = ChainPublisher(app, keys.coordinator)
    publisher = Ways(chain, direct, configuration.inventory, store, time.time)
    lookout = Lookout(LocalHost(), catalog.probes())
    protected = Protected(
        configuration.fleet,
        configuration.scenarios,
        configuration.plans,
        keys.agents,
        keys.coordinator.verify_key,
        configuration.inventory.backups,
    )
    deliverer = make_deliverer(configuration, settings, store, time.time)
    coordinator = Coordinator(protected, store, publisher, lookout, time.time, caller=deliverer)
    direct.coordinator, coordinator.leads = coordinator, leadership.leads
    register(app, coordinator)
    backups = Backups(coordinator, configuration.inventory.backups)
    register_backups(app, backups)
    pings = JobPings(backups, LocalHost())
    kit = KitKeeper(configuration, settings, store, time.time)
    watching = Watching(app, keys.coordinator, coordinator, configuration, kit.complaints())
    watching.overseer.reachable, publisher.silent = publisher.by_ssh, watching.overseer.dead_agents
    publisher.agentless = watching.overseer.agentless

    def ready() -> list[str]:
        broker = "" if publisher.listening() else "the broker cannot be reached"
        return [said for said in (broker, leadership.standing().complaint) if said]

    pages = make_web(
        coordinator,
        configuration,
        tokens,
        ready=ready,
        picture=watching.overseer.picture,
        calls=store.calls.of_run,
        lateness=watching.watcher.lateness,
        standing=leadership.standing,
    )
    with ExitStack() as running:
        running.callback(store.close)
        leadership.start()
        # After what is on its way, which is still to be marked in our term.
        running.callback(leadership.stop)
        running.callback(deliverer.close)
        running.callback(direct.close)
        running.enter_context(_served(_web(settings, pages)))
        term = _awaited_term(leadership)
        coordinator.began_at = time.time()
        take_in(store, settings.state, time.time())
        watching.start()
        running.callback(watching.stop)
        if switch := _dead_man(configuration, coordinator, watching):
            switch.start()
            running.callback(switch.stop)
        ticks = [coordinator.tick, watching.tick, deliverer.deliver_due, kit.tick]
        for tick in (*ticks, pings.tick) if pings.wanted else ticks:
            ticker = Ticker(_while_leading(leadership, tick))
            ticker.start()
            running.callback(ticker.stop)
            if tick == watching.tick:
                watching.overseer.wake = ticker.wake
        backups.hand_out()
        return _consume(app, leadership, term, running)


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


def _dead_man(
    configuration: Configuration, coordinator: Coordinator, watching: Watching
) -> DeadManSwitch | None:
    settings = configuration.inventory.dead_man
    if settings is None:
        return None
    return DeadManSwitch(settings, LocalHost(), watching.complaints, coordinator.now)


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
