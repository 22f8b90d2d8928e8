"""`autobot-dr recover SCENARIO --direct`: one run from here over SSH, without a broker.

What lives here: putting the parts together for one run, showing it, and its exit code. What must
not: how an order is carried out (carrier.py) and any decision. The run is the store's like every
other: a coordinator that comes back goes on with it where this process has stopped.
"""

from __future__ import annotations

import logging
import os
import sys
import time
import uuid
from contextlib import ExitStack
from typing import TypeVar

import click

from orchestrator.commands import follow
from orchestrator.commands.ending import Exit, Stop, faulty, print_json, tell
from orchestrator.commands.text import console
from orchestrator.config import Configuration, load
from orchestrator.coordinator import Coordinator, Protected, UnknownScenario
from orchestrator.core.incident import ENDED, Incident, State
from orchestrator.core.plan import Fault
from orchestrator.lookout import Lookout
from orchestrator.notify.opening import calling_faults, make_deliverer
from orchestrator.ports import Store, StoreUnavailable
from orchestrator.settings import Settings, read_settings
from orchestrator.setup import Keys, load_keys
from orchestrator.store import StoreRefused, open_store
from orchestrator.takingin import agents_of, direct_store, in_use
from orchestrator.web import shapes
from tasks import catalog
from tasks.host import LocalHost
from workers.carrier import DirectCarrier
from workers.inbox import Ticker

T = TypeVar("T")

PAUSE_SECONDS = 0.1  #: between two looks at the timeline
STAYS = (*ENDED, State.AWAITING_APPROVAL)


def main() -> int:
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    try:
        scenario, reason, shown = sys.argv[1:]
        _run(scenario, reason, as_json=shown == "json")
    except Stop as stop:
        for sentence in stop.sentences:
            tell(sentence)
        return stop.code
    except KeyboardInterrupt:
        tell(
            "stopped here; a coordinator on this store goes on with the run, `recover` begins anew"
        )
        return 130
    return Exit.DONE


def _run(scenario: str, reason: str, *, as_json: bool) -> None:
    settings = _sound(read_settings())
    configuration = _sound(load(settings.fleet, settings.runbooks))
    keys = _sound(load_keys(settings.keys, configuration.fleet.machines))
    with ExitStack() as running:
        store, own = _store(settings)
        running.callback(store.close)
        if own:
            running.enter_context(in_use(settings.state))
        run = str(uuid.uuid4())
        carrier = DirectCarrier(configuration.inventory, keys.coordinator, settings.state / "agent")
        running.callback(carrier.close)
        if own and (plan := configuration.plans.get(scenario)):
            # What the store would have known, the machines know.
            store.epoch_at_least(carrier.top_epoch(agents_of(plan)))
        coordinator = _coordinator(configuration, settings, keys, store, run, carrier, running)
        try:
            coordinator.recover(scenario, reason=f"{reason}; directly, over SSH", run=run)
        except UnknownScenario as unknown:
            raise Stop(Exit.USAGE, unknown) from unknown
        ticker = Ticker(coordinator.tick)
        ticker.start()
        running.callback(ticker.stop)
        incident = _follow(coordinator, run, as_json)
        objectives = configuration.fleet.objectives
        found = shapes.run_with_timeline(
            incident, store.timeline(run), objectives, store.headways.of_run(run)
        )
        if as_json:
            print_json(found)
        else:
            follow.print_steps(console(), found)
            follow.print_end(console(), found)
        follow.end(found)


def _store(settings: Settings) -> tuple[Store, bool]:
    """The store, or one of our own in its place until a coordinator takes it in."""
    settings.state.mkdir(parents=True, exist_ok=True)
    try:
        return open_store(settings.store_url.get_secret_value()), False
    except StoreUnavailable as away:
        place = direct_store(settings.state)
        tell(f"{away}; the run is kept in {place} until a coordinator takes it in")
    except StoreRefused as refused:
        raise Stop(Exit.FAULT, refused) from refused
    try:
        return open_store(f"sqlite:///{place}"), True
    except (StoreUnavailable, StoreRefused) as away:
        raise Stop(Exit.UNREACHABLE, away) from away


def _coordinator(
    configuration: Configuration,
    settings: Settings,
    keys: Keys,
    store: Store,
    run: str,
    carrier: DirectCarrier,
    running: ExitStack,
) -> Coordinator:
    deliverer = None
    if not calling_faults(configuration, settings):
        deliverer = make_deliverer(configuration, settings, store, time.time)
        running.callback(deliverer.close)
        calls = Ticker(deliverer.deliver_due)
        calls.start()
        running.callback(calls.stop)
    made = Coordinator(
        Protected(
            configuration.fleet,
            configuration.scenarios,
            configuration.plans,
            keys.agents,
            keys.coordinator.verify_key,
        ),
        store,
        carrier,
        Lookout(LocalHost(), catalog.probes()),
        time.time,
        caller=deliverer,
        only=run,
    )
    carrier.coordinator = made
    return made


def _follow(coordinator: Coordinator, run: str, as_json: bool) -> Incident:
    """Show each line as it comes, until nothing happens any more without a person."""
    out, shown = console(), 0
    while True:
        stored = coordinator.store.load(run)
        entries = coordinator.store.timeline(run)
        if stored is None:
            raise Stop(Exit.FAULT, f"run {run} is gone from the store")
        opened = shapes.rfc3339(stored.incident.opened_at)
        for entry in entries[shown:] if not as_json else ():
            follow.print_entry(out, shapes.entry_shape(entry), opened, follow.DETAIL_LINES)
        shown = len(entries)
        if stored.incident.state is State.AWAITING_APPROVAL and not as_json and sys.stdin.isatty():
            _decide(coordinator, stored.incident)
        elif stored.incident.state in STAYS:
            return stored.incident
        time.sleep(PAUSE_SECONDS)


def _decide(coordinator: Coordinator, incident: Incident) -> None:
    """There is nobody else to ask: the one who watches is the one who may allow it."""
    by = os.environ.get("USER", "the terminal")
    if click.confirm(f"{incident.reason}: allow it?"):
        coordinator.approve(incident.run, by)
    else:
        coordinator.cancel(incident.run, by)


def _sound(found: T | tuple[Fault, ...]) -> T:
    if isinstance(found, tuple):
        raise faulty(found)
    return found


if __name__ == "__main__":
    raise SystemExit(main())
