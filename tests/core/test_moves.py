"""The table of moves: every legal one is made by some event, every other one is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.core.advance import advance
from orchestrator.core.events import (
    Approved,
    Begin,
    Cancelled,
    Event,
    Held,
    Recovered,
    Relapsed,
    Resumed,
    Settled,
    Tick,
)
from orchestrator.core.fleet import Approval, Rung
from orchestrator.core.incident import MOVES, IllegalMove, State, move
from tasks.contract import Outcome
from tests.core import worlds
from tests.core.course import Course
from tests.core.diagram import diagram

RESTART = worlds.rung("service.restart")
ASK = replace(worlds.rung("service.restart"), approval=Approval.ASK)
NEVER = replace(worlds.rung("service.restart"), approval=Approval.NEVER)


def fresh(*ladder: Rung) -> Course:
    return Course(worlds.plan(*ladder), begun=False)


def open_to_recovering() -> Course:
    return fresh(RESTART)


def open_to_awaiting() -> Course:
    return fresh(ASK)


def open_to_escalated() -> Course:
    return fresh(NEVER)


def awaiting() -> Course:
    course = fresh(ASK)
    course.do(Begin())
    return course


def recovering(*ladder: Rung) -> Course:
    return Course(worlds.plan(*(ladder or (RESTART,))))


def verifying(*ladder: Rung) -> Course:
    course = recovering(*ladder)
    course.report(0)
    return course


def given_up() -> Course:
    """In `verifying`, after silence of the first order and one unknown of the second."""
    course = recovering(worlds.RESTART)
    course.silence()
    return course


def escalated() -> Course:
    course = recovering()
    course.do(Cancelled("me"))
    return course


def held(*ladder: Rung) -> Course:
    course = fresh(*ladder)
    course.do(Held("nobody else sees it", final=True))
    return course


def cured() -> Course:
    course = verifying()
    course.check()
    return course


OPEN, ASKING, WORKING, LOOKING, CURED, HUMAN, OVER = (
    State.OPEN,
    State.AWAITING_APPROVAL,
    State.RECOVERING,
    State.VERIFYING,
    State.RESOLVED,
    State.ESCALATED,
    State.CLOSED,
)

#: How each move comes about: what was before, and the event that makes it.
ROUTES: dict[tuple[State, State], tuple[Callable[[], Course], Callable[[Course], object]]] = {
    (OPEN, WORKING): (open_to_recovering, lambda c: c.do(Begin())),
    (OPEN, ASKING): (open_to_awaiting, lambda c: c.do(Begin())),
    (OPEN, HUMAN): (open_to_escalated, lambda c: c.do(Begin())),
    (ASKING, WORKING): (awaiting, lambda c: c.do(Approved("me"))),
    (ASKING, HUMAN): (awaiting, lambda c: c.do(Cancelled("me"))),
    (WORKING, LOOKING): (recovering, lambda c: c.report(0)),
    (WORKING, ASKING): (lambda: recovering(RESTART, ASK), lambda c: c.report(0, Outcome.FAILED)),
    (WORKING, HUMAN): (recovering, lambda c: c.report(0, Outcome.FAILED)),
    (LOOKING, WORKING): (given_up, lambda c: c.report(1, Outcome.UNKNOWN)),
    (LOOKING, CURED): (verifying, lambda c: c.check()),
    (LOOKING, ASKING): (lambda: verifying(RESTART, ASK), lambda c: c.check(0, "api")),
    (LOOKING, HUMAN): (verifying, lambda c: c.check(0, "api")),
    (HUMAN, WORKING): (escalated, lambda c: c.do(Resumed("me"))),
    (HUMAN, ASKING): (lambda: held(ASK), lambda c: c.do(Begin())),
    (OPEN, CURED): (open_to_recovering, lambda c: c.do(Recovered("seen well"))),
    (ASKING, CURED): (awaiting, lambda c: c.do(Recovered("seen well"))),
    (HUMAN, CURED): (escalated, lambda c: c.do(Recovered("seen well"))),
    (CURED, OPEN): (cured, lambda c: c.do(Relapsed(worlds.FAILURE))),
    (CURED, OVER): (cured, lambda c: c.do(Settled("stayed well"))),
    (HUMAN, OVER): (escalated, lambda c: c.do(Settled("given up", "me"))),
}

PAIRS = [(a, b) for a in State for b in State]


def test_every_legal_move_has_its_route() -> None:
    assert set(ROUTES) == {(a, b) for a, b in PAIRS if b in MOVES[a]}


@pytest.mark.parametrize(("a", "b"), ROUTES)
def test_a_legal_move_is_made_and_told(a: State, b: State) -> None:
    prepare, act = ROUTES[a, b]
    course = prepare()
    assert course.state() is a
    act(course)
    assert course.state() is b
    assert any(each.kind == "state" for each in course.last.timeline)
    if b in (CURED, HUMAN):
        assert course.incident.ended_at == course.now
    else:
        assert (course.incident.ended_at is None) == (b is not OVER)


@pytest.mark.parametrize(("a", "b"), [pair for pair in PAIRS if pair[1] not in MOVES[pair[0]]])
def test_an_illegal_move_raises(a: State, b: State) -> None:
    incident = replace(Course(worlds.plan(RESTART)).incident, state=a)
    with pytest.raises(IllegalMove, match=f"cannot go from {a} to {b}"):
        move(incident, b, "no", 1.0)
    assert incident == replace(Course(worlds.plan(RESTART)).incident, state=a)


@pytest.mark.parametrize(("a", "b"), [pair for pair in PAIRS if pair[1] in MOVES[pair[0]]])
def test_a_move_says_where_and_why_and_when_it_ended(a: State, b: State) -> None:
    incident = replace(Course(worlds.plan(RESTART)).incident, state=a, ended_at=None)
    moved, line = move(incident, b, "because", 7.0)
    assert (moved.state, moved.reason, line.at) == (b, "because", 7.0)
    assert line.text == f"{b}: because"
    assert moved.ended_at == (7.0 if b in (CURED, HUMAN) else None)


@pytest.mark.parametrize(
    ("event", "fits"),
    [
        (Approved("me"), {ASKING}),
        (Resumed("me"), {HUMAN}),
        (Cancelled("me"), {OPEN, ASKING, WORKING, LOOKING}),
    ],
)
def test_a_persons_request_that_does_not_fit_is_told_so(event: Event, fits: set[State]) -> None:
    for state in State:
        incident = replace(Course(worlds.plan(RESTART)).incident, state=state)
        if state in fits:
            advance(incident, event, 2000.0)
        else:
            with pytest.raises(IllegalMove, match=f"run run-1 is {state}"):
                advance(incident, event, 2000.0)


@pytest.mark.parametrize("state", [CURED, HUMAN, ASKING, State.CLOSED])
def test_no_message_moves_what_is_over_or_waits(state: State) -> None:
    course = verifying()
    course.incident = replace(course.incident, state=state)
    before = course.incident
    for act in (lambda: course.check(), lambda: course.do(Begin()), lambda: course.do(Tick())):
        act()
        assert course.incident == before
        assert course.last.effects == ()


def test_the_diagram_in_the_documents_is_the_table() -> None:
    document = Path(__file__).parents[2] / "docs" / "states.md"
    assert diagram() in document.read_text(), (
        f"docs/states.md shows other moves than MOVES; put this in:\n{diagram()}"
    )


def test_what_was_held_begins_when_nothing_speaks_against_it_any_more() -> None:
    course = held(RESTART)
    assert course.state() is HUMAN
    course.do(Begin())
    assert course.state() is WORKING
    course.do(Cancelled("me"))
    course.do(Begin())
    assert course.state() is HUMAN  # what a person ended stays ended
