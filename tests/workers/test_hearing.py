"""Whom the coordinator believes, and when an agent is sent its list: plain values."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tasks.contract import Json, Kind, WireError
from tasks.signing import is_signed_by, private_key, public_key
from tasks.watching import Beat
from tests.workers.watching import (
    AGENTS,
    COORDINATOR,
    NOW,
    STRANGER,
    TWO,
    beat,
    reading,
    watch,
)
from workers.hearing import STALE_SECONDS, Gate, Lists, readings_of

REFUSED = {
    "signed by a stranger": (beat(STRANGER[0]), "forged: the signature is not the agent's"),
    "signed by another agent": (beat(TWO[0]), "forged: the signature is not the agent's"),
    "changed after signing": (replace(beat(), number=2), "forged: the signature is not"),
    "not signed": (replace(beat(), signature=""), "forged: the signature is not"),
    "of no machine of ours": (beat(agent="three"), "foreign: no machine of the fleet"),
    "too old": (beat(at=NOW - STALE_SECONDS - 1), "stale: its clock is 16 s behind"),
    "from the future": (
        beat(at=NOW + STALE_SECONDS + 1),
        "stale: its clock is 16 s ahead",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_beat_that_is_not_an_agents_own_fresh_word_is_refused(case: str) -> None:
    bad, reason = REFUSED[case]
    said = Gate(AGENTS).refusal(bad, NOW)
    assert said is not None
    assert said.startswith(reason)


def test_a_beat_is_heard_once_and_none_before_it() -> None:
    gate = Gate(AGENTS)
    assert gate.refusal(beat(number=7), NOW) is None
    assert str(gate.refusal(beat(number=7), NOW)).startswith("replayed")
    assert str(gate.refusal(beat(number=6), NOW)).startswith("replayed")
    assert gate.refusal(beat(number=8), NOW) is None


def test_an_agent_that_started_again_is_heard_and_its_former_process_is_not() -> None:
    gate = Gate(AGENTS)
    assert gate.refusal(beat(boot="first", number=7), NOW) is None
    # Its clock may have gone back by then, as on a machine that lost its power.
    assert gate.refusal(beat(boot="second", number=1, at=NOW - 5), NOW + 5) is None
    assert str(gate.refusal(beat(boot="first", number=7), NOW + 6)).startswith("replayed")


def test_what_a_forged_beat_says_does_not_hinder_the_true_one() -> None:
    gate = Gate(AGENTS)
    assert gate.refusal(beat(STRANGER[0], number=1000), NOW) is not None
    assert gate.refusal(beat(number=1), NOW) is None


def test_readings_are_dated_by_our_clock() -> None:
    late = beat(at=NOW - 40, readings={"cache/local": reading(at=NOW - 42).to_wire()})
    (taken,) = readings_of(late, frozenset({"cache/local"}), NOW).values()
    assert taken.asked_at == NOW - 2


def test_an_agent_speaks_only_of_what_it_was_given() -> None:
    said = {name: reading(Kind.SILENT).to_wire() for name in ("cache/local", "db/answers")}
    assert set(readings_of(beat(readings=said), frozenset({"cache/local"}), NOW)) == {"cache/local"}


@pytest.mark.parametrize(
    "strange", [{"cache/local": 7}, {"cache/local": {**reading().to_wire(), "kind": "fine"}}]
)
def test_a_beat_with_a_reading_that_is_none_is_malformed(strange: Json) -> None:
    with pytest.raises(WireError):
        readings_of(beat(readings=strange), frozenset({"cache/local"}), NOW)


def test_a_beat_survives_the_wire() -> None:
    sent = beat(readings={"cache/local": reading().to_wire()})
    taken = Beat.from_wire(sent.to_wire())
    assert taken == sent
    assert is_signed_by(taken, AGENTS["one"])


def lists() -> Lists:
    made = Lists(private_key(COORDINATOR[0]))
    made.want({"one": [watch("b"), watch("a"), watch("elsewhere", vantage="two")], "two": []})
    return made


def test_an_agent_without_the_right_list_is_sent_it_signed() -> None:
    sent = lists().due_for(beat(), NOW)
    assert sent is not None
    assert [each.name for each in sent.lines()] == ["a", "b"]
    assert (sent.agent, sent.issued_at) == ("one", NOW)
    assert is_signed_by(sent, public_key(COORDINATOR[1]))


def test_an_agent_with_the_right_list_is_sent_nothing() -> None:
    made = lists()
    sent = made.due_for(beat(), NOW)
    assert sent is not None
    assert made.due_for(beat(list_digest=sent.digest), NOW + 5) is None


def test_what_is_asked_of_one_machine_does_not_count_as_another_list_for_the_other() -> None:
    made = lists()
    sent = made.due_for(beat(), NOW)
    assert sent is not None
    made.want({"one": [watch("a"), watch("b")], "two": [watch("c", vantage="two")]})
    assert made.due_for(beat(list_digest=sent.digest), NOW) is None


def test_an_agent_of_which_nothing_is_asked_any_more_learns_that() -> None:
    made = lists()
    assert made.due_for(beat(agent="three"), NOW) is None
    sent = made.due_for(beat(agent="three", list_digest="an old one"), NOW)
    assert sent is not None
    assert sent.lines() == ()
    assert made.due_for(beat(agent="three", list_digest=sent.digest), NOW + 100) is None


def test_before_it_is_known_what_is_asked_no_list_is_sent() -> None:
    assert Lists(private_key(COORDINATOR[0])).due_for(beat(list_digest="an old one"), NOW) is None


def test_a_list_that_is_not_taken_is_sent_again_ever_more_seldom() -> None:
    made = lists()
    sent_at = [second for second in range(0, 200, 5) if made.due_for(beat(), NOW + second)]
    assert sent_at == [0, 10, 30, 70, 150]


def test_an_agent_that_loses_its_list_is_sent_it_at_once() -> None:
    made = lists()
    sent = made.due_for(beat(), NOW)
    assert sent is not None
    assert made.due_for(beat(list_digest=sent.digest), NOW + 5) is None
    assert made.due_for(beat(list_digest=""), NOW + 6) is not None


def test_a_list_is_never_older_than_the_one_held_whatever_our_clock_says() -> None:
    sent = lists().due_for(beat(list_digest="another", list_issued_at=NOW + 3600), NOW)
    assert sent is not None
    assert sent.issued_at > NOW + 3600
