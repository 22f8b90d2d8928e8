"""What a run's steps show of a machine's boot, and what its history asks of the next one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from orchestrator.core.boots import Phase, phases, said, with_deadlines
from orchestrator.core.plan import Branch, Plan, PlannedRung
from orchestrator.core.steps import StepRecord
from tasks.contract import Outcome
from tests.core import worlds

WAITS = ("vm.start", "machine.reachable", "machine.ready", "service.start")


def record(number: int, started: float, ended: float, outcome: Outcome) -> StepRecord:
    operation = WAITS[number]
    agent = "control" if number < 2 else "m1"
    return StepRecord(
        *(0, 0, number, 1, operation, agent, "m1", "db" if number == 3 else "", {}),
        not_after=0.0,
        overdue_at=0.0,
        outcome=outcome,
        started_at=started,
        ended_at=ended,
    )


def boot(first: Outcome = Outcome.DONE) -> list[StepRecord]:
    return [
        record(0, 100.0, 102.0, first),
        record(1, 102.1, 110.0, Outcome.DONE),
        record(2, 125.0, 126.5, Outcome.DONE),
        record(3, 126.6, 130.0, Outcome.DONE),
    ]


def test_each_wait_begins_where_the_one_before_it_ended() -> None:
    steps = boot()
    found = [phases(steps[:number], steps[number]) for number in range(4)]
    assert found == [
        (Phase("power", 100.0, 2.0),),
        (Phase("network", 102.0, 8.0),),
        (Phase("agent", 110.0, 15.0), Phase("systemd", 125.0, 1.5)),
        (),
    ]
    assert said(found[2]) == "; agent after 15.0 s; systemd after 1.5 s"


def test_a_machine_that_was_on_shows_nothing_of_a_boot() -> None:
    steps = boot(Outcome.UNCHANGED)
    assert [phases(steps[:number], steps[number]) for number in range(4)] == [()] * 4


@pytest.mark.parametrize("outcome", [Outcome.TIMED_OUT, Outcome.UNKNOWN, Outcome.FAILED])
def test_a_wait_that_was_in_vain_is_none_to_learn_from(outcome: Outcome) -> None:
    steps = boot()
    assert phases(steps[:2], replace(steps[2], outcome=outcome)) == ()


def test_a_clock_that_is_behind_makes_no_wait_shorter_than_nothing() -> None:
    steps = boot()
    early = replace(steps[2], started_at=109.0, ended_at=110.5)
    assert phases(steps[:2], early) == (Phase("agent", 109.0, 0.0), Phase("systemd", 109.0, 1.5))


def planned(history: Mapping[tuple[str, str], Sequence[float]]) -> tuple[Branch, list[float]]:
    plan = worlds.plan(worlds.rung(*worlds.CATALOG.names()))
    step = plan.branch(0, 0).steps[0]
    steps = tuple(
        replace(step, operation=each, machine="m1", service="db" if "service" in each else "")
        for each in WAITS
    )
    branch = Branch("m1", tuple(replace(e, seconds=60) for e in steps), ("db",), ("db",), 60)
    timed = with_deadlines(
        Plan("x", (PlannedRung("start", worlds.REBOOT.approval, (branch,)),)),
        lambda name, phase: history.get((name, phase), ()),
    ).branch(0, 0)
    return timed, [each.seconds for each in timed.steps]


def test_without_a_history_it_is_as_in_the_file() -> None:
    branch, seconds = planned({})
    assert (seconds, branch.check_seconds) == ([60] * 4, 60)


def test_a_machine_that_was_slow_gets_more_and_a_fast_one_no_less_than_the_file_says() -> None:
    branch, seconds = planned(
        {
            ("m1", "power"): [1.0, 2.0],
            ("m1", "network"): [*[5.0] * 40, 100.0],
            ("m1", "agent"): [40.0],
            ("m1", "systemd"): [5.0],
            ("db", ""): [100.0],
            ("m2", "power"): [900.0],
        }
    )
    assert seconds == [60, 200.0, 90.0, 200.0]
    assert branch.check_seconds == 200.0


def test_a_start_that_took_hours_until_somebody_came_is_not_waited_for_again() -> None:
    branch, seconds = planned({("db", ""): [7200.0], ("m1", "power"): [3000.0]})
    assert (seconds[0], seconds[3], branch.check_seconds) == (240.0, 240.0, 240.0)
