"""The contract of the `Headways` port, on the twin, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import itertools
from dataclasses import replace

from orchestrator.ports import Store
from tasks.contract import Headway

FIRST = Headway(
    order="inc-1.0.0.1",
    incident="inc-1",
    run="run-1",
    rung=0,
    step=0,
    attempt=1,
    agent="vault",
    what="receiving the dump",
    done_bytes=5_000_000_000,
    total_bytes=0,
    per_second=12.5,
    left_s=-1.0,
    at=100.0,
    signature="ab",
)
SECOND = replace(FIRST, done_bytes=6_000_000_000, at=102.0)
OTHER = replace(FIRST, order="inc-1.0.1.1", step=1, what="loading it")
FOREIGN = replace(FIRST, order="inc-2.0.0.1", run="run-2")


def test_the_newest_of_each_order_counts_in_whichever_order_it_comes(store: Store) -> None:
    for number, told in enumerate(itertools.permutations([FIRST, SECOND, SECOND])):
        for each in told:
            store.headways.record(replace(each, order=f"inc-1.0.{number}.1", run=f"run-{number}"))
        newest = replace(SECOND, order=f"inc-1.0.{number}.1", run=f"run-{number}")
        assert store.headways.of_run(f"run-{number}") == {newest.order: newest}


def test_each_run_has_its_own(store: Store) -> None:
    for each in (FIRST, OTHER, FOREIGN):
        store.headways.record(each)
    assert store.headways.of_run("run-1") == {FIRST.order: FIRST, OTHER.order: OTHER}
    assert store.headways.of_run("run-3") == {}
