"""The contract of the `CallBook` port, on the twin, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import Any

import pytest

from orchestrator.core.escalation import Call, CallKind, CallState, NewCall
from orchestrator.core.events import Entry
from orchestrator.notify.book import CLAIM_SECONDS, CallBook
from orchestrator.ports import Store
from tests.contracts.databases import new_incident

RUN = "run-1"


def new(role: str = "one", due_at: float = 10.0, **other: Any) -> NewCall:
    reach = "mailto://one@example.com"
    call = NewCall(f"{RUN}/7/0/{role}", RUN, CallKind.CALL, 0, role, reach, "it is down", due_at)
    return replace(call, **other)


@pytest.fixture
def book(store: Store) -> CallBook:
    for run in (RUN, "run-2"):
        store.open(new_incident(run))
    return store.calls


def claimed(book: CallBook, call: int = 1, now: float = 20.0) -> Call:
    found = book.claim(call, now)
    assert found is not None
    return found


def line(at: float) -> Entry:
    return Entry(at, "call", "called one")


def states(book: CallBook, run: str = RUN) -> list[str]:
    return [each.state.value for each in book.of_run(run)]


def only(calls: Sequence[Call]) -> Call:
    [call] = calls
    return call


def test_a_planned_call_reads_back_as_it_was(book: CallBook) -> None:
    plain = new(reason="it's down; DROP TABLE calls;--")
    book.plan([plain])
    call = only(book.of_run(RUN))
    assert call == Call(**asdict(plain), id=call.id, state=CallState.WAITING)
    assert call.effect == 7
    assert "reason" in repr(call)


def test_a_key_is_written_once(book: CallBook) -> None:
    book.plan([new(), new("two")])
    book.sent(claimed(book), line(21.0))
    book.plan([new(due_at=99.0), new("three"), new("three")])
    book.plan([])
    assert [each.role for each in book.of_run(RUN)] == ["one", "two", "three"]
    assert states(book) == ["sent", "waiting", "waiting"]
    assert book.of_run(RUN)[0].due_at == 10.0


def test_no_character_keeps_a_call_out(book: CallBook) -> None:
    book.plan([new(reason="nul \0 and half a pair \ud800 in a log")])
    assert "in a log" in only(book.of_run(RUN)).reason


def test_what_is_due_comes_the_longest_due_first(book: CallBook) -> None:
    book.plan([new("a", 30.0), new("b", 10.0), new("c", 20.0), new("d", 10.0)])
    assert [each.role for each in book.due(9.9)] == []
    assert [each.role for each in book.due(10.0)] == ["b", "d"]
    assert [each.role for each in book.due(25.0)] == ["b", "d", "c"]
    claimed(book, 2)
    assert [each.role for each in book.due(25.0)] == ["d", "c"]


def test_one_of_many_gets_a_call(book: CallBook) -> None:
    book.plan([new()])
    with ThreadPoolExecutor(8) as pool:
        won = [c for c in pool.map(lambda n: book.claim(1, 20.0 + n), range(16)) if c is not None]
    call = only(won)
    assert call == only(book.of_run(RUN))
    assert (call.state, call.attempts) == (CallState.SENDING, 1)
    assert book.claim(1, 99.0) is None
    assert book.claim(77, 99.0) is None


def test_a_sent_call_stays_sent(book: CallBook) -> None:
    book.plan([new()])
    call = claimed(book)
    book.sent(call, line(21.0))
    book.failed(call, "late", 22.0, retry_at=23.0)
    book.drop(call.id, "late", 22.0)
    book.stop([call.id], "late", 22.0)
    assert book.recover(1000.0) == 0
    after = only(book.of_run(RUN))
    assert (after.state, after.ended_at, after.error) == (CallState.SENT, 21.0, "")


def test_the_line_of_a_sent_call_is_in_the_timeline_once(store: Store, book: CallBook) -> None:
    book.plan([new()])
    call = claimed(book)
    book.sent(call, line(21.0))
    book.sent(call, line(22.0))
    assert list(store.timeline(RUN)) == [line(21.0)]


def test_a_failed_attempt_waits_for_its_time_and_is_counted(book: CallBook) -> None:
    book.plan([new()])
    book.failed(claimed(book), "nobody \0 listens", 21.0, retry_at=26.0)
    assert list(book.due(25.9)) == []
    call = only(book.due(26.0))
    assert (call.state, call.attempts, call.ended_at) == (CallState.WAITING, 1, None)
    assert call.error.startswith("nobody ")
    assert claimed(book, now=26.0).attempts == 2


def test_a_call_that_is_given_up_moves_others_up(book: CallBook) -> None:
    book.plan([new("a"), new("b", 900.0), new("c", 1800.0), new("d", 5.0), new("e", 900.0)])
    book.sent(claimed(book, 5), line(20.5))
    call = claimed(book)
    book.failed(call, "no such person", 21.0, sooner=[2, 4, 5])
    found = {each.role: each for each in book.of_run(RUN)}
    assert (found["a"].state, found["a"].ended_at) == (CallState.FAILED, 21.0)
    assert found["a"].error == "no such person"
    assert [found[role].due_at for role in "bcde"] == [21.0, 1800.0, 5.0, 900.0]
    assert found["e"].state is CallState.SENT


def test_stopping_takes_out_what_waits_and_nothing_else(book: CallBook) -> None:
    book.plan([new("a"), new("b", 900.0)])
    book.plan([new("c", kind=CallKind.INFORM), new("d", key="other", run="run-2")])
    book.sent(claimed(book), line(21.0))
    book.stop([], "acknowledged", 22.0)
    book.stop([1, 2, 77], "acknowledged", 22.0)
    assert states(book) == ["sent", "stopped", "waiting"]
    assert states(book, "run-2") == ["waiting"]
    stopped = book.of_run(RUN)[1]
    assert (stopped.ended_at, stopped.error) == (22.0, "acknowledged")
    assert book.claim(stopped.id, 1000.0) is None


def test_a_call_that_is_stopped_on_its_way_is_not_made_again(book: CallBook) -> None:
    book.plan([new("a"), new("b"), new("c", 900.0)])
    fails, arrives = claimed(book, 1), claimed(book, 2)
    book.stop([1, 2, 3], "acknowledged", 21.0)
    book.failed(fails, "nobody listens", 22.0, retry_at=23.0, sooner=[3])
    book.sent(arrives, line(22.0))
    assert states(book) == ["stopped", "sent", "stopped"]
    assert list(book.due(10_000.0)) == []


def test_a_call_that_is_not_needed_is_dropped_with_its_reason(book: CallBook) -> None:
    book.plan([new(), new("two")])
    claimed(book, 2)
    for number in (1, 2, 77):
        book.drop(number, "recovering", 21.0)
    assert states(book) == ["stopped", "sending"]
    assert book.of_run(RUN)[0].error == "recovering"


def test_what_the_dead_claimed_waits_again(book: CallBook) -> None:
    book.plan([new(), new("two")])
    dead = claimed(book, 1, now=20.0)
    claimed(book, 2, now=40.0)
    assert book.recover(20.0 + CLAIM_SECONDS - 0.1) == 0
    assert book.recover(20.0 + CLAIM_SECONDS) == 1
    assert states(book) == ["waiting", "sending"]
    again = claimed(book, 1, now=51.0)
    assert again.attempts == 2
    # It was not dead after all, but it was too slow: the call is somebody else's.
    book.sent(dead, line(52.0))
    book.failed(dead, "late", 52.0)
    assert only([c for c in book.of_run(RUN) if c.id == 1]) == again
    book.sent(again, line(53.0))
    assert states(book) == ["sent", "sending"]
