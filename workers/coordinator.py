"""Starts the coordinator's process: settings in, worker, ticker and web out.

What lives here: putting the parts together, and the sentences for what keeps it from starting.
What must not: any behaviour of the parts. Exit codes are those of the command line: 1 for a
fault of the configuration, 6 for a broker that is not there when it must be.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import warnings
from typing import TypeVar

import uvicorn
from celery.platforms import SecurityWarning
from fastapi import FastAPI

from orchestrator.config import load
from orchestrator.coordinator import Coordinator, Protected
from orchestrator.core.plan import Fault
from orchestrator.lookout import Lookout
from orchestrator.ports import StoreUnavailable
from orchestrator.settings import Settings, read_settings
from orchestrator.setup import load_keys
from orchestrator.store import StoreRefused, open_store
from orchestrator.web.access import read_tokens
from orchestrator.web.app import make_web
from tasks import catalog
from tasks.host import LocalHost
from workers.broker import COORDINATOR_QUEUE, make_app, result_backend_for, take_back_patiently
from workers.inbox import Ticker, consume, register
from workers.publisher import ChainPublisher
from workers.watching import Watching

T = TypeVar("T")

log = logging.getLogger("autobot_dr.coordinator")


class CannotStart(Exception):
    """The coordinator cannot start; each fault says what to mend. Nothing was started."""


def main() -> int:
    # Only JSON is accepted, so what Celery warns of (unpickling as root) cannot happen.
    warnings.simplefilter("ignore", SecurityWarning)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        return _serve()
    except (CannotStart, StoreRefused, StoreUnavailable) as reason:
        print(f"autobot-dr coordinator: {reason}", file=sys.stderr)
        return 1


def _serve() -> int:
    settings = _sound(read_settings())
    if settings.broker_url is None:
        raise CannotStart("AUTOBOT_DR_BROKER_URL is not set; `autobot-dr up` brings its own broker")
    configuration = _sound(load(settings.fleet, settings.runbooks))
    keys = _sound(load_keys(settings.keys, configuration.fleet.machines))
    tokens = _sound(read_tokens(settings.tokens))
    settings.state.mkdir(parents=True, exist_ok=True)
    store = open_store(settings.store_url.get_secret_value())
    url = settings.broker_url.get_secret_value()
    app = make_app(url, consumer=COORDINATOR_QUEUE, result_backend=result_backend_for(url))
    publisher = ChainPublisher(app, keys.coordinator)
    lookout = Lookout(LocalHost(), catalog.probes())
    protected = Protected(
        configuration.fleet, configuration.scenarios, configuration.plans, keys.agents
    )
    coordinator = Coordinator(protected, store, publisher, lookout, time.time)
    register(app, coordinator)

    def ready() -> list[str]:
        return [] if publisher.listening() else ["the broker cannot be reached"]

    watching = Watching(app, keys.coordinator, coordinator, configuration)
    picture = watching.overseer.picture
    pages = make_web(coordinator, configuration, tokens, ready=ready, picture=picture)
    web = _web(settings, pages)
    web_thread = threading.Thread(target=web.run, name="web", daemon=True)
    web_thread.start()
    watching.start()
    tickers = [Ticker(coordinator.tick), Ticker(watching.tick)]
    for each in tickers:
        each.start()
    try:
        take_back_patiently(app, lambda error: log.warning("no broker yet: %s", error))
        return consume(app)
    finally:
        for each in tickers:
            each.stop()
        watching.stop()
        web.should_exit = True
        web_thread.join(timeout=5)
        store.close()


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
