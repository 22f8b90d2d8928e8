"""A coordinator that starts sends once more what is out: its predecessor may have been carrying it
out itself, and an order takes effect once however often it comes."""

from __future__ import annotations

from orchestrator.coordinator import READ_SECONDS, Coordinator, Protected
from orchestrator.core.plan import Plan
from orchestrator.lookout import Lookout
from orchestrator.store import MemoryStore
from tasks.host import LocalHost
from tests.core import worlds
from tests.web.world import KeepingPublisher

PLANS: dict[str, Plan] = {"api": worlds.plan(worlds.RESTART)}


def coordinator(store: MemoryStore, publisher: KeepingPublisher, at: list[float]) -> Coordinator:
    """`at` has the time as its last."""
    protected = Protected(worlds.SMALL, {}, PLANS, {})
    return Coordinator(protected, store, publisher, Lookout(LocalHost(), {}), lambda: at[-1])


def test_what_is_out_is_sent_once_more_by_the_next_one_when_it_has_read_what_waited() -> None:
    store, first, second = MemoryStore(), KeepingPublisher(), KeepingPublisher()
    before = coordinator(store, first, [1000.0])
    run = before.recover("api", reason="a test").run
    before.tick()
    ((_, sent),) = first.published
    at = [1005.0]
    after = coordinator(store, second, at)
    after.tick()
    assert second.published == []
    at.append(1005.0 + READ_SECONDS)
    after.tick()
    after.tick()
    assert second.published == [(run, sent)]


def test_it_is_tried_again_until_it_was_sent() -> None:
    store, first, second = MemoryStore(), KeepingPublisher(), KeepingPublisher()
    coordinator(store, first, [1000.0]).recover("api", reason="a test")
    second.away = True
    at = [1005.0]
    after = coordinator(store, second, at)
    at.append(1005.0 + READ_SECONDS)
    after.tick()
    assert second.published == []
    second.away = False
    after.tick()
    assert len(second.published) == 1
