"""The contract of the `Lease` port, on the twin, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from orchestrator.core.events import Entry
from orchestrator.lease import Candidate
from orchestrator.ports import NotLeading, Store
from orchestrator.store import open_store
from orchestrator.store.opening import STANDING_SECONDS, engine_for
from tests.contracts.databases import begin, new_incident, note
from tests.contracts.postgres import Server

ONE, TWO = (Candidate(each, f"machine-{each}", f"http://{each}") for each in ("one", "two"))
LONG, SHORT = 60.0, 0.05


def test_nobody_leads_at_first_and_the_first_who_asks_does(store: Store) -> None:
    assert store.lease.look().holder == ""
    assert store.lease.take(ONE, LONG) == 1
    found = store.lease.look()
    assert (found.term, found.holder, found.name, found.url) == (1, "one", "machine-one", ONE.url)
    assert LONG - 5 < found.left_s <= LONG


def test_a_lease_that_runs_is_nobody_elses(store: Store) -> None:
    store.lease.take(ONE, LONG)
    assert store.lease.take(TWO, LONG) is None
    assert store.lease.look().holder == "one"


def test_one_that_has_ended_is_taken_with_a_higher_term(store: Store) -> None:
    first = store.lease.take(ONE, SHORT)
    time.sleep(2 * SHORT)
    assert store.lease.look().left_s < 0
    second = store.lease.take(TWO, LONG)
    assert first is not None
    assert second is not None
    assert second > first
    assert not store.lease.renew(first, LONG), "a term that is over does not come back"
    assert store.lease.look().holder == "two"


def test_renewing_keeps_it(store: Store) -> None:
    term = store.lease.take(ONE, SHORT)
    assert term is not None
    assert store.lease.renew(term, LONG)
    time.sleep(2 * SHORT)
    assert store.lease.take(TWO, LONG) is None


def test_one_that_has_ended_and_that_nobody_took_is_renewed(store: Store) -> None:
    term = store.lease.take(ONE, SHORT)
    time.sleep(2 * SHORT)
    assert term is not None
    assert store.lease.renew(term, LONG)
    assert store.lease.take(TWO, LONG) is None


def test_who_was_started_again_takes_it_from_itself(store: Store) -> None:
    first = store.lease.take(ONE, LONG)
    second = store.lease.take(ONE, LONG)
    assert first is not None
    assert second is not None
    assert second > first
    assert not store.lease.renew(first, LONG)


def test_one_that_is_given_back_is_free_at_once(store: Store) -> None:
    first = store.lease.take(ONE, LONG)
    assert first is not None
    store.lease.give_back(first)
    assert store.lease.look().holder == ""
    assert not store.lease.renew(first, LONG)
    second = store.lease.take(TWO, LONG)
    assert second is not None
    assert second > first
    store.lease.give_back(first)
    assert store.lease.look().holder == "two", "an old term gives nothing back"


def test_of_many_at_once_one_leads(store: Store) -> None:
    def take(number: int) -> int | None:
        return store.lease.take(Candidate(f"c{number}", "", ""), LONG)

    with ThreadPoolExecutor(8) as pool:
        terms = [each for each in pool.map(take, range(16)) if each is not None]
    assert terms == [1]


def writes(store: Store) -> list[Callable[[], object]]:
    """Everything that changes a run, in the order in which it happens."""
    return [
        lambda: store.open(new_incident("new")),
        lambda: store.epoch_at_least(7),
        lambda: store.effect_sent(1),
        lambda: store.add_entry("run-1", Entry(1.0, "progress", "more")),
        lambda: store.run_for_key("key", "run-1"),
    ]


def test_a_write_happens_in_the_term_of_its_fence_or_not_at_all(store: Store) -> None:
    _, stored = begin(store)
    term = store.lease.take(ONE, LONG)
    assert term is not None
    store.fence.hold(term)
    assert store.save(note(stored, "in my term"), stored.version)
    lines, effects = store.timeline("run-1"), store.pending_effects()
    store.lease.give_back(term)
    store.lease.take(TWO, LONG)
    late = replace(stored, version=stored.version + 1)
    with pytest.raises(NotLeading, match="nothing was written"):
        store.save(note(late, "too late"), late.version)
    for each in writes(store):
        with pytest.raises(NotLeading):
            each()
    assert store.load("run-1") == replace(late, incident=stored.incident)
    assert list(store.timeline("run-1")) == list(lines)
    assert list(store.pending_effects()) == list(effects)
    assert store.load("new") is None


def test_a_take_over_waits_for_a_write_that_has_begun_and_renewing_does_not(
    postgres: Server,
) -> None:
    """What a leader that stands still has locked, the server gives free after a while."""
    name = postgres.new_database()
    store = open_store(postgres.url(name))
    term = store.lease.take(ONE, SHORT)
    assert term is not None
    with postgres.connect(name) as writing, ThreadPoolExecutor(1) as pool:
        writing.execute("BEGIN")
        writing.execute("SELECT term FROM lease WHERE term = %s FOR KEY SHARE", [term])
        assert store.lease.renew(term, SHORT)
        time.sleep(2 * SHORT)
        taken = pool.submit(store.lease.take, TWO, LONG)
        with pytest.raises(TimeoutError):
            taken.result(timeout=0.5)
        writing.execute("COMMIT")
        assert taken.result(timeout=30) == term + 1
    store.close()
    with engine_for(postgres.url(name)).connect() as ours:
        said = ours.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar()
    assert said == f"{STANDING_SECONDS}s"


def test_who_stands_by_reads_and_writes_nothing_and_says_who_leads(store: Store) -> None:
    _, stored = begin(store)
    store.fence.shut()
    with pytest.raises(NotLeading):
        store.epoch_at_least(7)
    store.lease.take(ONE, LONG)
    store.fence.shut("machine-one (http://one)")
    assert store.load("run-1") == stored
    for each in writes(store):
        with pytest.raises(NotLeading, match="stands by, machine-one"):
            each()
    store.fence.hold(1)
    assert store.save(note(stored, "now"), stored.version)
