"""The contract of the `Store` port, on the twin, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from orchestrator.core.advance import advance
from orchestrator.core.branch import BranchState
from orchestrator.core.events import Approved, Begin, CallHuman, Entry, Publish, Tick
from orchestrator.core.fleet import Approval
from orchestrator.core.incident import Decision, State
from orchestrator.ports import Store, Stored
from orchestrator.store import MemoryStore
from tasks.contract import Outcome
from tests.contracts.databases import begin, count_up, new_incident, note, report, reported
from tests.core import worlds

NASTY = "caf\u00e9 \U0001f525 'quoted' \"twice\" \\ back\nline; DROP TABLE runs;--"


def test_open_gives_the_next_epoch_and_the_first_version(store: Store) -> None:
    first, second = store.open(new_incident("a")), store.open(new_incident("b"))
    assert second.incident.epoch > first.incident.epoch > 0
    assert first.version == second.version == 1
    assert first.incident == replace(new_incident("a"), epoch=first.incident.epoch)
    assert store.load("a") == first


def test_a_doubled_open_gives_what_is_stored_and_changes_nothing(store: Store) -> None:
    _, stored = begin(store)
    changed = replace(new_incident(), reason="another", opened_at=9.0)
    assert store.open(changed) == stored
    assert store.load("run-1") == stored
    assert store.open(new_incident("next")).incident.epoch == stored.incident.epoch + 1


def test_a_second_run_of_one_incident_is_refused(store: Store) -> None:
    store.open(new_incident("a"))
    with pytest.raises(ValueError, match="has run a already"):
        store.open(replace(new_incident("b"), id=new_incident("a").id))
    assert store.load("b") is None


def test_an_epoch_that_a_machine_obeyed_is_left_behind(store: Store) -> None:
    store.epoch_at_least(41)
    store.epoch_at_least(7)
    assert store.open(new_incident("a")).incident.epoch == 42


def test_a_store_that_knows_nothing_is_ahead_of_all_that_was_ever_obeyed(store: Store) -> None:
    """New, or restored from a backup: a second store begins above what the first gave."""
    first = MemoryStore()
    given = [first.open(replace(new_incident(f"r{n}"), opened_at=1.9e9)) for n in range(5)]
    later = store.open(replace(new_incident(), opened_at=1.9e9 + 60))
    assert later.incident.epoch > given[-1].incident.epoch
    far = store.open(replace(new_incident("far"), opened_at=9e12))
    assert far.incident.epoch < 2**31 - 100_000_000, "a clock set to nonsense leaves room"
    next_one = store.open(replace(new_incident("next"), opened_at=1.9e9 + 61))
    assert next_one.incident.epoch == far.incident.epoch + 1


def test_an_incident_leads_to_its_run(store: Store) -> None:
    for name in ("a", "b", NASTY):
        store.open(new_incident(name))
    assert [store.run_of_incident(new_incident(n).id) for n in ("a", "b", NASTY)] == [
        "a",
        "b",
        NASTY,
    ]
    assert store.run_of_incident("a") is None, "a run's id is not its incident's"
    assert store.run_of_incident("") is None


def test_opens_at_the_same_time_get_one_run_or_epochs_of_their_own(store: Store) -> None:
    names = ["same"] * 8 + [f"own-{number}" for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(lambda run: store.open(new_incident(run)), names))
    assert len({each.incident.epoch for each in opened[:8]}) == 1
    assert len({each.incident.epoch for each in opened[7:]}) == 9
    assert len(store.runs()) == 9


def test_an_unknown_run_is_none_and_cannot_be_saved(store: Store) -> None:
    assert store.load("nobody") is None
    assert not store.save(note(Stored(new_incident("nobody"), 1), "lost"), 1)
    assert list(store.timeline("nobody")) == []


def test_save_writes_incident_timeline_and_effects_together(store: Store) -> None:
    decision, stored = begin(store)
    assert stored == Stored(decision.incident, 2)
    assert list(store.timeline("run-1")) == list(decision.timeline)
    assert [each.effect for each in store.pending_effects()] == list(decision.effects)


def test_who_is_late_writes_nothing(store: Store) -> None:
    decision, stored = begin(store)
    lines, effects = list(store.timeline("run-1")), list(store.pending_effects())
    late = replace(
        decision,
        incident=replace(decision.incident, reason="late"),
        effects=(CallHuman("late"),),
        timeline=(Entry(1.0, "state", "late"),),
    )
    for expected in (1, 3, 0, -1):
        assert not store.save(late, expected)
    assert store.load("run-1") == stored
    assert list(store.timeline("run-1")) == lines
    assert list(store.pending_effects()) == effects


def test_a_decision_that_changed_nothing_is_not_written(store: Store) -> None:
    _, stored = begin(store)
    assert store.save(Decision(stored.incident, reasons=("nothing to do",)), stored.version)
    assert store.load("run-1") == stored
    assert not store.save(Decision(stored.incident), 1), "late is late, also with nothing to say"


def test_a_change_without_a_line_or_an_effect_is_written(store: Store) -> None:
    _, stored = begin(store)
    silent = replace(stored.incident, branches=(BranchState(checked_early=True),))
    assert store.save(Decision(silent), stored.version)
    assert store.load("run-1") == Stored(silent, stored.version + 1)


def test_a_whole_recovery_reads_back_as_it_was_at_every_step(store: Store) -> None:
    asked = worlds.rung("service.restart", approval=Approval.ASK)
    plan = worlds.plan(worlds.RESTART, asked, services=("db", "api"))
    decision = advance(store.open(worlds.incident(plan)).incident, Begin(), 1001.0)
    version = 1
    seen = []

    def keep() -> None:
        nonlocal version
        assert store.save(decision, version)
        version += 1
        assert store.load("run-1") == Stored(decision.incident, version)
        assert list(store.runs()) == [decision.incident]
        seen.append(decision.incident.state)

    keep()
    published = decision.effects[0]
    assert isinstance(published, Publish)
    for order in published.orders:
        decision = advance(decision.incident, reported(order), 1003.0)
        keep()
    for late in (2000.0, 3000.0, 4000.0, 4500.0):
        decision = advance(decision.incident, Tick(), late)
        keep()
    decision = advance(decision.incident, Approved("me"), 5000.0)
    keep()
    assert seen[-3:] == [State.VERIFYING, State.AWAITING_APPROVAL, State.RECOVERING]


def test_runs_come_newest_first_and_no_more_than_asked(store: Store) -> None:
    for name in ("a", "b", "c"):
        store.open(replace(new_incident(name), opened_at=5.0))
    assert [each.run for each in store.runs()] == ["c", "b", "a"]
    assert [each.run for each in store.runs(limit=2)] == ["c", "b"]


def test_unfinished_runs_are_those_that_may_still_move_by_themselves(store: Store) -> None:
    for state in State:
        opened = store.open(new_incident(state.value))
        moved = replace(opened.incident, state=state, reason="moved")
        assert store.save(Decision(moved), opened.version)
    assert sorted(store.unfinished()) == ["awaiting_approval", "open", "recovering", "verifying"]


def test_effects_come_back_oldest_first_until_they_are_named_as_sent(store: Store) -> None:
    begin(store, "a")
    _, b = begin(store, "b")
    call = Decision(b.incident, effects=(CallHuman("one"), CallHuman("two")))
    assert store.save(call, b.version)
    pending = list(store.pending_effects())
    assert [each.run for each in pending] == ["a", "b", "b", "b"]
    assert [each.effect for each in pending[2:]] == [CallHuman("one"), CallHuman("two")]
    assert list(store.pending_effects()) == pending, "looking sends nothing"
    for _ in range(2):
        store.effect_sent(pending[1].id)
    store.effect_sent(10_000)
    assert list(store.pending_effects()) == [pending[0], *pending[2:]]


def test_a_report_is_kept_as_it_came_and_once(store: Store) -> None:
    decision, _ = begin(store)
    published = decision.effects[0]
    assert isinstance(published, Publish)
    first, second = (report(order) for order in published.orders)
    forged = replace(first, outcome=Outcome.FAILED.value, signature="00")
    for each in (first, second, first, forged, second):
        store.add_report(each)
    store.add_report(replace(first, run="foreign"))
    assert list(store.reports("run-1")) == [first, second, forged]
    assert len(store.reports("foreign")) == 1


def test_timeline_keeps_the_order_of_saving(store: Store) -> None:
    decision, stored = begin(store)
    progress = Entry(0.5, "progress", "40 %", "layer 3 of 8")
    store.add_entry("run-1", progress)
    assert store.save(note(stored, "later"), stored.version)
    expected = [*decision.timeline, progress, *note(stored, "later").timeline]
    assert list(store.timeline("run-1")) == expected
    assert store.load("run-1") == Stored(stored.incident, stored.version + 1)


def test_a_key_gives_the_run_first_stored_under_it(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        given = list(pool.map(lambda n: store.run_for_key("key", f"run-{n}"), range(16)))
    assert len(set(given)) == 1
    assert given[0] == store.run_for_key("key", "later")
    assert store.run_for_key("other", "later") == "later"


def test_texts_come_back_as_they_went_in(store: Store) -> None:
    opened = store.open(replace(new_incident(NASTY), reason=NASTY, scenario=NASTY))
    assert store.load(NASTY) == opened
    store.add_entry(NASTY, Entry(1.0, NASTY, NASTY, NASTY * 10_000))
    assert list(store.timeline(NASTY)) == [Entry(1.0, NASTY, NASTY, NASTY * 10_000)]
    assert store.run_for_key(NASTY, NASTY) == NASTY


def test_no_character_of_a_machine_can_keep_its_report_out(store: Store) -> None:
    decision, stored = begin(store)
    published = decision.effects[0]
    assert isinstance(published, Publish)
    broken = "nul \0 and half a pair \ud800 in a log"
    store.add_report(replace(report(published.orders[0]), detail=broken))
    decision = advance(stored.incident, reported(published.orders[0], broken), 1003.0)
    assert store.save(decision, stored.version)
    again = store.load("run-1")
    assert again is not None
    assert "in a log" in again.incident.steps[0].reason
    assert "in a log" in store.timeline("run-1")[-1].text


def test_changes_at_the_same_time_are_each_made_once(store: Store) -> None:
    begin(store)
    lines = len(store.timeline("run-1"))
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(count_up, store, "run-1", 15, f"t{n}") for n in range(4)]:
            done.result()
    stored = store.load("run-1")
    assert stored is not None
    assert stored.version == 2 + 60
    told = [each.text for each in store.timeline("run-1")[lines:]]
    assert sorted(told) == sorted(f"t{n} {i}" for n in range(4) for i in range(15))


def test_runs_that_call_nobody_may_be_left_out(store: Store) -> None:
    for number in range(4):
        incident = new_incident(f"run-{number}")
        store.open(replace(incident, plan=replace(incident.plan, urgent=number % 2 == 0)))
    assert [each.run for each in store.runs(limit=2)] == ["run-3", "run-2"]
    assert [each.run for each in store.runs(limit=2, urgent=True)] == ["run-2", "run-0"]
