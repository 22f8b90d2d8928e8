"""The coordinator's parts, put together.

What lives here: which part is given to which. What must not: starting and ending them
(coordinator.py), and any behaviour of theirs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from celery import Celery
from fastapi import FastAPI

from orchestrator.backups import Backups
from orchestrator.config import Configuration
from orchestrator.coordinator import Coordinator, Protected
from orchestrator.kitkeeping import KitKeeper
from orchestrator.leadership import Leadership, candidate
from orchestrator.lookout import Lookout
from orchestrator.notify.delivery import Deliverer
from orchestrator.notify.jobpings import JobPings
from orchestrator.notify.opening import make_deliverer
from orchestrator.ports import Store
from orchestrator.settings import Settings
from orchestrator.setup import Keys
from orchestrator.store import open_store
from orchestrator.web.access import Tokens
from orchestrator.web.app import make_web
from tasks import catalog
from tasks.host import LocalHost
from workers.broker import COORDINATOR_QUEUE, make_app, result_backend_for
from workers.carrier import DirectCarrier
from workers.inbox import TICK_SECONDS, register, register_backups
from workers.publisher import ChainPublisher
from workers.watching import Watching
from workers.ways import Ways

#: For what reads a good part of the store each time, and is in no hurry.
SLOW_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Parts:
    """One of each in a coordinator's process."""

    configuration: Configuration
    store: Store
    leadership: Leadership
    app: Celery
    direct: DirectCarrier
    publisher: Ways
    deliverer: Deliverer
    coordinator: Coordinator
    backups: Backups
    kit: KitKeeper
    pings: JobPings
    watching: Watching

    def ready(self) -> list[str]:
        broker = "" if self.publisher.listening() else "the broker cannot be reached"
        return [said for said in (broker, self.leadership.standing().complaint) if said]

    def pages(self, tokens: Tokens) -> FastAPI:
        return make_web(
            self.coordinator,
            self.configuration,
            tokens,
            ready=self.ready,
            picture=self.watching.overseer.picture,
            calls=self.store.calls.of_run,
            lateness=self.watching.watcher.lateness,
            standing=self.leadership.standing,
        )

    def ticks(self) -> dict[Callable[[], None], float]:
        """What is looked at again and again by who leads, and how many seconds lie between."""
        quick = (self.coordinator.tick, self.watching.tick, self.deliverer.deliver_due)
        slow = (self.kit.tick, self.pings.tick) if self.pings.wanted else (self.kit.tick,)
        return dict.fromkeys(quick, TICK_SECONDS) | dict.fromkeys(slow, SLOW_SECONDS)


def make_parts(
    settings: Settings,
    configuration: Configuration,
    keys: Keys,
    broker_url: str,
    overtaken: Callable[[str], None],
) -> Parts:
    """`overtaken` is called with the reason once another coordinator leads in our place."""
    store = open_store(settings.store_url.get_secret_value())
    leadership = Leadership(store, candidate(settings.state, settings.public_url), overtaken)
    backend = result_backend_for(broker_url)
    app = make_app(broker_url, consumer=COORDINATOR_QUEUE, result_backend=backend)
    direct = DirectCarrier(configuration.inventory, keys.coordinator, settings.state / "agent")
    chain = ChainPublisher(app, keys.coordinator)
    publisher = Ways(chain, direct, configuration.inventory, store, time.time)
    deliverer = make_deliverer(configuration, settings, store, time.time)
    coordinator = Coordinator(
        _protected(configuration, keys),
        store,
        publisher,
        Lookout(LocalHost(), catalog.probes()),
        time.time,
        caller=deliverer,
    )
    direct.coordinator, coordinator.leads = coordinator, leadership.leads
    backups = Backups(coordinator, configuration.inventory.backups)
    register(app, coordinator)
    register_backups(app, backups)
    kit = KitKeeper(configuration, settings, store, time.time)
    watching = Watching(app, keys.coordinator, coordinator, configuration, kit.complaints())
    watching.overseer.reachable, publisher.silent = publisher.by_ssh, watching.overseer.dead_agents
    publisher.agentless = watching.overseer.agentless
    return Parts(
        configuration,
        store,
        leadership,
        app,
        direct,
        publisher,
        deliverer,
        coordinator,
        backups,
        kit,
        JobPings(backups, LocalHost()),
        watching,
    )


def _protected(configuration: Configuration, keys: Keys) -> Protected:
    return Protected(
        configuration.fleet,
        configuration.scenarios,
        configuration.plans,
        keys.agents,
        keys.coordinator.verify_key,
        configuration.inventory.backups,
    )
