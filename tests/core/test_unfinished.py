"""What is out when the way that it was sent by is gone: the very same orders, and nothing else."""

from __future__ import annotations

from orchestrator.core.branch import unfinished
from tasks.contract import Outcome
from tests.core import worlds
from tests.core.course import Course

ALL = worlds.plan(worlds.ALL_MACHINES, services=worlds.EVERYTHING)


def ids(here: Course) -> list[list[str]]:
    return [[order.id for order in each.orders] for each in unfinished(here.incident)]


def test_what_was_sent_is_given_again_until_it_was_reported() -> None:
    here = Course(worlds.plan(worlds.RESTART))
    sent = [[each.id for each in here.published[0].orders]]
    assert ids(here) == sent
    here.report(0)
    assert ids(here) == [sent[0][1:]]
    here.report(1)
    # Only the look from outside is left.
    assert ids(here) == [[]]
    here.check()
    assert ids(here) == []


def test_the_deadlines_are_those_that_were_given() -> None:
    here = Course(worlds.plan(worlds.RESTART))
    first = here.published[0].orders
    assert unfinished(here.incident)[0].orders == first


def test_a_new_attempt_takes_the_place_of_the_old_one() -> None:
    here = Course(worlds.plan(worlds.RESTART))
    here.report(0, Outcome.UNKNOWN)
    assert ids(here) == [[each.id for each in here.published[0].orders]]


def test_each_running_branch_is_in_it_and_none_that_has_not_begun() -> None:
    here = Course(ALL)
    assert len(ids(here)) == 1
    here.through(0)
    running = len(here.incident.plan.rungs[0].branches[1].needs)
    assert running == 1
    assert {each.branch for each in unfinished(here.incident)} == {
        index for index, state in enumerate(here.incident.branches) if state.running
    }
