"""Who is called when, and what follows when somebody is not reached."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest

from orchestrator.core.escalation import (
    PAUSES,
    REPEAT_SECONDS,
    Again,
    Call,
    CallKind,
    CallState,
    Contact,
    GiveUp,
    NewCall,
    after_failure,
    mail_address,
    plan_calls,
    plan_notice,
    stopped_by,
    why_not,
)
from orchestrator.core.failure import Severity
from orchestrator.core.incident import State
from tests.core import worlds

PRIMARY = Contact("Primary", 0.0, "mailto://primary@example.com")
SECONDARY = Contact("Secondary", 900.0, "slack://a/b/c")
LEAD = Contact("Lead", 1800.0, "mailto://lead@example.com")
SEED = (PRIMARY, SECONDARY, LEAD)
ORDERED = worlds.incident(worlds.plan(worlds.RESTART))
SEEN = replace(ORDERED, failure=worlds.FAILURE)


def stored(new: tuple[NewCall, ...], **other: Any) -> list[Call]:
    calls = [Call(**asdict(each), id=number) for number, each in enumerate(new, 1)]
    return [replace(each, **other) for each in calls]


def seed(**other: Any) -> list[Call]:
    return stored(plan_calls(SEEN, SEED, "it is down", 100.0, 7), **other)


def test_a_person_who_is_needed_is_called_level_by_level() -> None:
    calls = plan_calls(SEEN, SEED, "no rung is left", 100.0, 7)
    assert [(each.key, each.level, each.due_at) for each in calls] == [
        ("run-1/7/0/Primary", 0, 100.0),
        ("run-1/7/1/Secondary", 1, 1000.0),
        ("run-1/7/2/Lead", 2, 1900.0),
    ]
    assert {each.kind for each in calls} == {CallKind.CALL}
    assert {each.reason for each in calls} == {"no rung is left"}
    assert [each.reach for each in calls][:2] == ["mailto://primary@example.com", "slack://…"]


def test_what_a_person_ordered_calls_too_but_informs_nobody() -> None:
    assert len(plan_calls(ORDERED, SEED, "no rung is left", 100.0, 7)) == 3
    assert plan_notice(ORDERED, SEED, "it is down", 100.0, 7) == ()


def test_the_first_level_is_informed_at_once_and_nobody_else() -> None:
    deputy = Contact("Deputy", 0.0, "mailto://deputy@example.com")
    notices = plan_notice(SEEN, (*SEED, deputy), "it is down", 100.0, 8)
    assert [(each.key, each.kind, each.due_at) for each in notices] == [
        ("run-1/8/0/Primary", CallKind.INFORM, 100.0),
        ("run-1/8/0/Deputy", CallKind.INFORM, 100.0),
    ]
    late = (replace(PRIMARY, after_s=60.0),)
    assert [each.due_at for each in plan_notice(SEEN, late, "it is down", 100.0, 8)] == [100.0]


def test_what_users_do_not_feel_wakes_the_first_level_only() -> None:
    mild = replace(SEEN, failure=replace(worlds.FAILURE, severity=Severity.WARNING))
    assert [each.role for each in plan_calls(mild, SEED, "slow", 100.0, 7)] == ["Primary"]


def test_who_is_not_configured_is_left_out() -> None:
    contacts = (replace(PRIMARY, reach=""), SECONDARY)
    [call] = plan_calls(SEEN, contacts, "down", 100.0, 7)
    assert (call.role, call.level, call.due_at) == ("Secondary", 0, 1000.0)
    assert plan_calls(SEEN, (), "down", 100.0, 7) == ()


def test_who_waits_to_be_called_is_not_put_off_by_the_next_need() -> None:
    known = seed()
    known[0] = replace(known[0], state=CallState.SENT)
    again = plan_calls(SEEN, SEED, "failed again", 600.0, 9, known)
    assert [(each.key, each.due_at) for each in again] == [("run-1/9/0/Primary", 600.0)]
    stopped = seed(state=CallState.STOPPED)
    assert len(plan_calls(SEEN, SEED, "failed again", 600.0, 9, stopped)) == 3


def test_stopping_takes_out_what_was_asked_for_before_and_nothing_later() -> None:
    calls = seed()
    calls[0] = replace(calls[0], state=CallState.SENT)
    calls[1] = replace(calls[1], state=CallState.SENDING)
    notice = replace(stored(plan_notice(SEEN, SEED, "down", 100.0, 6))[0], id=9)
    assert stopped_by(8, [*calls, notice]) == (2, 3)
    assert stopped_by(7, calls) == stopped_by(6, calls) == ()


@pytest.mark.parametrize("state", list(State))
def test_nobody_is_called_where_nobody_is_needed(state: State) -> None:
    [call, *_] = seed()
    reason = why_not(call, replace(SEEN, state=state), [], 100.0)
    assert (reason == "") == (state in (State.ESCALATED, State.AWAITING_APPROVAL))


def test_the_same_notice_within_a_minute_is_sent_once() -> None:
    first, second = (
        stored(plan_notice(SEEN, SEED, "it is down", 100.0, effect))[0] for effect in (7, 8)
    )
    second = replace(second, id=2)
    sent = replace(first, state=CallState.SENT, ended_at=101.0)
    assert why_not(second, SEEN, [sent, second], 110.0) == "the same was sent 9 s before"
    assert why_not(second, SEEN, [sent, second], 101.0 + REPEAT_SECONDS) == ""
    assert why_not(second, SEEN, [first, second], 110.0) == ""
    assert why_not(replace(second, reason="resolved"), SEEN, [sent], 110.0) == ""
    assert why_not(replace(second, role="Lead"), SEEN, [sent], 110.0) == ""


def test_attempts_are_made_with_growing_pauses_and_then_the_next_level_is_called() -> None:
    for number, pause in enumerate(PAUSES, 1):
        calls = seed(attempts=number)
        assert after_failure(calls[0], calls, 200.0, hopeless=False) == Again(200.0 + pause)
    calls = seed(attempts=len(PAUSES) + 1)
    assert after_failure(calls[0], calls, 200.0, hopeless=False) == GiveUp((2,))
    calls[1] = replace(calls[1], state=CallState.FAILED)
    assert after_failure(calls[0], calls, 200.0, hopeless=False) == GiveUp((3,))


def test_what_is_hopeless_is_not_tried_again() -> None:
    calls = seed(attempts=1)
    assert after_failure(calls[0], calls, 200.0, hopeless=True) == GiveUp((2,))


def test_the_last_hope_is_not_given_up() -> None:
    calls = seed(attempts=9, state=CallState.FAILED)
    for hopeless in (False, True):
        last = after_failure(calls[2], calls, 200.0, hopeless=hopeless)
        assert last == Again(200.0 + PAUSES[-1])
    alone = calls[:1]
    assert after_failure(alone[0], alone, 200.0, hopeless=False) == Again(200.0 + PAUSES[-1])


def test_a_level_whose_others_are_reached_moves_nobody_up() -> None:
    deputy = Contact("Deputy", 0.0, "mailto://deputy@example.com")
    for state in (CallState.SENT, CallState.WAITING, CallState.SENDING):
        calls = stored(plan_calls(SEEN, (*SEED, deputy), "down", 100.0, 7), attempts=9)
        calls[1] = replace(calls[1], state=state)
        assert (calls[1].role, calls[1].level) == ("Deputy", 0)
        assert after_failure(calls[0], calls, 200.0, hopeless=False) == GiveUp()
    calls[1] = replace(calls[1], state=CallState.FAILED)
    assert after_failure(calls[0], calls, 200.0, hopeless=False) == GiveUp((3,))


def test_who_was_outlived_by_a_later_level_is_given_up() -> None:
    calls = seed(attempts=9)
    calls[1:] = [replace(each, state=CallState.SENT) for each in calls[1:]]
    assert after_failure(calls[0], calls, 2000.0, hopeless=False) == GiveUp()


def test_a_notice_is_given_up_in_the_end() -> None:
    notices = stored(plan_notice(SEEN, SEED, "down", 100.0, 8), attempts=9)
    assert after_failure(notices[0], [*seed(), *notices], 200.0, hopeless=False) == GiveUp()


@pytest.mark.parametrize(
    ("reach", "address"),
    [
        ("mailto://person@example.com", "person@example.com"),
        ("mailto://first.last+dr@mail.example.com", "first.last+dr@mail.example.com"),
        ("mailto://root@localhost", "root@localhost"),
        ("mailto://user:password@example.com", None),
        ("mailto://user@example.com?smtp=mail", None),
        ("mailto://user@example.com/other@example.com", None),
        ("mailto://a@b@example.com", None),
        ("mailto://a b@example.com", None),
        ("mailtos://person@example.com", None),
        ("mailto://@example.com", None),
        ("person@example.com", None),
    ],
)
def test_plain_mail_is_told_from_what_apprise_reads(reach: str, address: str | None) -> None:
    assert mail_address(reach) == address
