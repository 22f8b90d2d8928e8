"""The contract of the `Slots` port, on the twin, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from orchestrator.ports import Store


def test_a_slot_is_claimed_once(store: Store) -> None:
    assert store.slots.claimed_at("night", 100.0) is None
    assert store.slots.claim("night", 100.0, 101.0)
    assert not store.slots.claim("night", 100.0, 102.0)
    assert store.slots.claimed_at("night", 100.0) == 101.0
    assert store.slots.claim("night", 200.0, 201.0)
    assert store.slots.claim("week", 100.0, 101.0)


def test_of_many_at_once_one_gets_it(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda n: store.slots.claim("night", 1.0, float(n)), range(16)))
    assert sum(won) == 1
