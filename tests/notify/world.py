"""A store with an escalated incident, and a process that calls people for it.

What lives here: what the delivery's tests share. `python -m tests.notify.world STORE SMTP DELAYS`
is a coordinator as far as calls go: it takes stored effects and delivers what is due, until it
is killed.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from orchestrator.core.advance import advance
from orchestrator.core.escalation import Call, Contact
from orchestrator.core.events import Event, Held, Publish, Withdraw
from orchestrator.core.incident import Incident
from orchestrator.notify.channel import Channel, Failed, Message
from orchestrator.notify.delivery import Deliverer
from orchestrator.notify.mail import MailServer, read_mail_server
from orchestrator.notify.message import Site
from orchestrator.notify.reaching import Channels
from orchestrator.ports import Store
from orchestrator.store import open_store
from tests.core import worlds

ROLES = ("primary", "secondary", "lead")
PAUSES = (0.3, 0.6)
TICK_SECONDS = 0.1


class Recorder:
    """A channel that keeps messages; who has a `failure` is not reached."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Message]] = []
        self.failures: dict[str, Failed] = {}

    def send(self, reach: str, message: Message) -> Failed | None:
        if failed := self.failures.get(reach):
            return failed
        self.sent.append((reach, message))
        return None


def contacts(*delays: float) -> tuple[Contact, ...]:
    return tuple(
        Contact(role, delay, f"mailto://{role}@example.com")
        for role, delay in zip(ROLES, delays, strict=False)
    )


def mail_channel(url: str) -> Channels:
    server = read_mail_server(url, "dr@example.com")
    assert isinstance(server, MailServer), server
    return Channels(server)


def opened(store: Store, run: str = "run-1") -> Incident:
    incident = worlds.incident(worlds.plan(worlds.RESTART), run, opened_at=time.time())
    return store.open(replace(incident, failure=worlds.FAILURE)).incident


def decide(store: Store, event: Event, run: str = "run-1") -> Incident:
    stored = store.load(run)
    assert stored is not None
    decision = advance(stored.incident, event, time.time())
    assert store.save(decision, stored.version)
    return decision.incident


def escalated(store: Store, run: str = "run-1") -> None:
    opened(store, run)
    decide(store, Held("its budget is spent", final=True), run)


def deliverer(
    store: Store, channel: Channel, people: Sequence[Contact], pauses: Sequence[float] = PAUSES
) -> Deliverer:
    return Deliverer(store, channel, people, Site("shop", "http://dr"), time.time, pauses=pauses)


def turn(store: Store, made: Deliverer) -> None:
    """What a coordinator does every half second."""
    for pending in store.pending_effects():
        stored = store.load(pending.run)
        assert stored is not None
        # Chains are for agents, of which there are none here.
        if not isinstance(pending.effect, Publish | Withdraw):
            made.take(pending.effect, stored.incident, pending.id)
        store.effect_sent(pending.id)
    made.deliver_due()


def keep_turning(
    store: Store, made: Deliverer, seconds: float, until: Callable[[], bool] | None = None
) -> None:
    """Until the time is over, or it came to `until`, which then it must."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        turn(store, made)
        if until is not None and until():
            return
        time.sleep(TICK_SECONDS)
    assert until is None, "it did not come to that"


def calls(store: Store, run: str = "run-1") -> dict[str, Call]:
    return {each.role: each for each in store.calls.of_run(run)}


@contextmanager
def coordinator(store_url: str, smtp_url: str, *delays: float) -> Iterator[subprocess.Popen[str]]:
    """Another process; killed at the end if it still lives."""
    told = ["-m", "tests.notify.world", store_url, smtp_url, *map(str, delays)]
    process = subprocess.Popen([sys.executable, *told], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)


def main() -> None:
    store_url, smtp_url, *delays = sys.argv[1:]
    store = open_store(store_url)
    made = deliverer(store, mail_channel(smtp_url), contacts(*map(float, delays)))
    print("ready", flush=True)
    while True:
        turn(store, made)
        time.sleep(TICK_SECONDS)


if __name__ == "__main__":
    main()
