"""A recovery led by hand through what can happen to it, one thing at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.core.branch import MAX_ATTEMPTS
from orchestrator.core.events import (
    Approved,
    Begin,
    CallHuman,
    Cancelled,
    Checked,
    Publish,
    Reported,
    Resumed,
    Tick,
    Withdraw,
)
from orchestrator.core.fleet import Approval, Rung
from orchestrator.core.incident import Decision, Incident, State
from orchestrator.core.overdue import LOOK_SECONDS, MAX_CHECKS
from tasks.contract import Outcome
from tests.core import worlds
from tests.core.course import Course

RESTART, REBOOT = worlds.RESTART, worlds.REBOOT
ALL = worlds.plan(worlds.ALL_MACHINES, services=worlds.EVERYTHING)


def course(*ladder: Rung) -> Course:
    return Course(worlds.plan(*(ladder or (RESTART, REBOOT))))


def texts(decision: Decision) -> str:
    return " | ".join(each.text for each in decision.timeline)


def orders(decision: Decision) -> list[str]:
    return [
        order.id for each in decision.effects if isinstance(each, Publish) for order in each.orders
    ]


def started(here: Course) -> list[str]:
    """The names of the branches that were published just now."""
    plan = here.incident.plan
    return [plan.branch(each.rung, each.branch).name for each in here.published]


def ignored(here: Course, before: Incident, why: str) -> bool:
    last = here.last
    silent = not last.effects and not last.timeline
    return silent and last.incident == before and why in " ".join(last.reasons)


class TestTheGoodWay:
    def test_orders_then_a_look_then_resolved(self) -> None:
        here = course()
        (publish,) = here.published
        assert [each.id for each in publish.orders] == ["inc-run-1.0.0.1", "inc-run-1.0.1.1"]
        assert publish.check_seconds == 40
        here.report(0)
        assert here.state() == State.RECOVERING
        here.report(1, Outcome.UNCHANGED)
        assert here.state() == State.VERIFYING
        here.check()
        assert here.state() == State.RESOLVED
        assert here.incident.reason == "verified from outside"
        assert here.incident.rta_s == here.now - here.incident.opened_at

    def test_deadlines_add_up_along_the_chain(self) -> None:
        first, second = course().published[0].orders
        assert first.seconds == pytest.approx(5)
        assert second.not_after == pytest.approx(first.not_after + first.seconds)

    def test_each_starts_when_its_needs_passed_and_the_whole_is_looked_at_last(self) -> None:
        here = Course(ALL)
        assert started(here) == ["m1"]
        here.through(0)
        assert started(here) == ["m2", "m3"]
        here.through(1)
        assert started(here) == ["m4"]
        here.through(2)
        assert started(here) == []
        here.through(3)
        assert started(here) == ["m5"]
        assert here.state() == State.RECOVERING
        here.through(4)
        assert started(here) == ["everything"]
        assert here.state() == State.VERIFYING
        here.through(5)
        assert here.state() == State.RESOLVED

    def test_a_branchs_time_counts_from_its_own_start(self) -> None:
        here = Course(ALL)
        here.now += 500
        here.through(0)
        assert all(each.not_after > here.now for p in here.published for each in p.orders)

    def test_begun_twice_is_begun_once(self) -> None:
        here = course()
        before = here.incident
        here.do(Begin())
        assert ignored(here, before, "begun already, it is recovering")

    def test_evidence_stands_in_the_timeline(self) -> None:
        (line,) = course().report(0).timeline
        assert (line.kind, line.detail) == ("step", "evidence")
        assert line.text == "service.status on m4: done: told"


class TestTheLadder:
    @pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.TIMED_OUT, Outcome.REFUSED])
    def test_a_step_that_failed_ends_its_rung(self, outcome: Outcome) -> None:
        here = course()
        decision = here.report(0, outcome)
        assert here.incident.rung == 1
        assert orders(decision) == ["inc-run-1.1.0.1", "inc-run-1.1.1.1"]
        assert f"service.status on m4 {outcome}: told" in texts(decision)

    def test_done_is_not_enough_when_outside_says_no(self) -> None:
        here = course()
        here.report(0)
        here.report(1)
        decision = here.check(0, "api")
        assert here.incident.rung == 1
        assert "test seen from outside: api: looked" in texts(decision)

    def test_when_no_rung_is_left_a_person_is_called(self) -> None:
        here = course(RESTART)
        decision = here.report(0, Outcome.FAILED)
        assert here.state() == State.ESCALATED
        assert decision.effects == (CallHuman(here.incident.reason),)
        assert here.incident.reason.endswith("no rung is left")
        assert here.incident.rta_s is None

    def test_a_rung_that_asks_waits_and_sends_nothing(self) -> None:
        here = course(RESTART, replace(REBOOT, approval=Approval.ASK))
        decision = here.report(0, Outcome.FAILED)
        assert here.state() == State.AWAITING_APPROVAL
        assert decision.effects == (CallHuman(here.incident.reason),)
        assert "'restart the VM' waits for approval" in here.incident.reason
        here.do(Tick())
        assert here.state() == State.AWAITING_APPROVAL
        decision = here.do(Approved("eve"))
        assert orders(decision) == ["inc-run-1.1.0.1", "inc-run-1.1.1.1"]
        assert "approved by eve" in texts(decision)

    @pytest.mark.parametrize("failed", ["service.status", "service.restart"])
    def test_a_rung_may_ask_because_of_what_failed_before_it(self, failed: str) -> None:
        here = course(RESTART, replace(REBOOT, ask_after=("service.restart",)))
        if failed == "service.restart":
            here.report(0)
        here.report(int(failed == "service.restart"), Outcome.FAILED)
        asks = here.state() == State.AWAITING_APPROVAL
        assert asks == (failed == "service.restart")
        said = "after a failed service.restart this may lose data"
        assert (said in here.incident.reason) == asks

    def test_a_rung_for_people_only_is_never_started(self) -> None:
        here = course(RESTART, replace(REBOOT, approval=Approval.NEVER))
        here.report(0, Outcome.FAILED)
        assert here.state() == State.ESCALATED
        assert "'restart the VM' is for people only" in here.incident.reason

    def test_the_other_branches_are_waited_for_before_the_next_rung(self) -> None:
        plan = worlds.plan(worlds.ALL_MACHINES, RESTART, services=worlds.EVERYTHING)
        here = Course(plan)
        here.through()
        here.report(1, Outcome.FAILED)
        assert (here.incident.rung, here.published) == (0, [])
        here.through(2)
        assert here.incident.rung == 1

    def test_what_needs_a_machine_that_failed_is_never_started_and_says_why(self) -> None:
        here = Course(ALL)
        decision = here.report(0, Outcome.FAILED)
        assert here.state() == State.ESCALATED
        assert [each.operation for each in here.incident.steps] == ["vm.start"]
        assert "m2 not started, because m1 is not back" in texts(decision)
        assert "m5 not started, because m4 is not back" in texts(decision)
        assert "everything not looked at, because m1 is not back" in texts(decision)
        assert here.incident.reason == (
            "vm.start on m1 failed: told; not started: m2, m3, m4, m5; no rung is left"
        )

    def test_what_can_still_run_is_waited_for_although_the_rung_is_lost(self) -> None:
        here = Course(worlds.plan(worlds.ALL_MACHINES, services=("db", "cache", "api", "npu")))
        here.through(0)
        here.report(1, Outcome.FAILED)
        assert here.state() == State.RECOVERING
        here.report(2)
        assert here.state() == State.VERIFYING
        here.check(2)
        assert here.state() == State.ESCALATED
        assert here.incident.reason.startswith("vm.start on m2 failed: told; not started: m4;")


class TestOptional:
    def test_an_optional_machine_that_stays_down_holds_up_nothing_and_is_named(self) -> None:
        here = Course(ALL)
        here.through()
        here.report(2, Outcome.FAILED)
        assert here.incident.notes == ("vm.start on m3 failed: told",)
        for branch in (1, 3, 4):
            here.through(branch)
        here.check(5, "npu")
        assert here.state() == State.RESOLVED
        assert "vm.start on m3 failed: told" in here.incident.reason
        assert "npu: looked" in here.incident.reason

    def test_one_that_hangs_delays_only_the_look_at_everything(self) -> None:
        here = Course(ALL)
        for branch in (0, 1, 3, 4):
            here.through(branch)
        assert here.published == []
        assert here.state() == State.RECOVERING, "the order to m3 is still out"
        here.silence()
        assert started(here) == ["m3"]
        here.check(2, "npu")
        assert started(here) == ["everything"]
        here.check(5, "npu")
        assert here.state() == State.RESOLVED

    def test_its_failure_ends_what_needs_it_and_nothing_else(self) -> None:
        services = tuple(worlds.BESIDE.services)
        here = Course(worlds.plan(worlds.ALL_MACHINES, services=services, of=worlds.BESIDE))
        here.through(0)
        assert "m6 not started, because m3 is not back" in texts(here.report(2, Outcome.FAILED))
        names = [each.name for each in here.incident.plan.rungs[0].branches]
        for name in ("m2", "m4", "m5"):
            here.through(names.index(name))
        here.check(names.index("everything"), "npu", "chat")
        assert here.state() == State.RESOLVED
        assert "m6 not started, because m3 is not back" in here.incident.reason

    def test_a_required_one_that_needs_it_fails_with_it_and_says_so(self) -> None:
        services = tuple(worlds.STRICT.services)
        here = Course(worlds.plan(worlds.ALL_MACHINES, services=services, of=worlds.STRICT))
        here.through(0)
        here.report(1, Outcome.FAILED)
        assert here.state() == State.ESCALATED
        assert here.incident.reason == (
            "vm.start on m2 failed: told; not started: m3; no rung is left"
        )

    def test_where_all_are_optional_all_must_be_back(self) -> None:
        here = Course(worlds.plan(worlds.ALL_MACHINES, services=("npu",)))
        here.report(0, Outcome.FAILED)
        assert started(here) == ["everything"]
        here.check(1, "npu")
        assert here.state() == State.ESCALATED

    def test_what_an_earlier_rung_left_wrong_is_not_said_of_the_one_that_cured(self) -> None:
        here = Course(worlds.plan(worlds.ALL_MACHINES, RESTART, services=worlds.EVERYTHING))
        here.through()
        here.report(2, Outcome.FAILED)
        here.report(1, Outcome.FAILED)
        here.through()
        assert here.incident.reason == "verified from outside"

    def test_a_required_one_does(self) -> None:
        here = Course(ALL)
        here.through()
        here.through(2)
        here.report(1, Outcome.FAILED)
        assert here.state() == State.ESCALATED


class TestPeople:
    def test_after_a_cancel_reports_are_kept_and_nothing_is_sent(self) -> None:
        here = course()
        decision = here.do(Cancelled("eve"))
        assert here.state() == State.ESCALATED
        out = tuple(("m4", f"inc-run-1.0.{number}.1") for number in (0, 1))
        withdraw = Withdraw(out, "cancelled by eve")
        assert decision.effects == (withdraw, CallHuman("cancelled by eve"))
        decision = here.report(0)
        assert (decision.effects, here.step(0).outcome) == ((), Outcome.DONE)
        assert here.silence().effects == ()

    def test_resuming_orders_the_rung_again_under_new_ids(self) -> None:
        here = course()
        late = here.report_on(here.step(0))
        here.do(Cancelled("eve"))
        decision = here.do(Resumed("adam"))
        assert orders(decision) == ["inc-run-1.0.0.2", "inc-run-1.0.1.2"]
        assert here.incident.ended_at is None
        assert "resumed by adam" in here.incident.reason
        here.do(Reported(late))
        assert here.step(0).outcome is None, "the old attempt is not the new one"
        here.through()
        assert here.state() == State.RESOLVED

    @pytest.mark.parametrize("told", [Outcome.DONE, Outcome.FAILED, Outcome.UNKNOWN])
    def test_after_resuming_what_was_started_before_waits_for_its_needs_again(
        self, told: Outcome
    ) -> None:
        here = Course(ALL)
        here.through()
        late = here.report_on(here.step(1), told)
        here.do(Cancelled("eve"))
        here.do(Resumed("adam"))
        assert started(here) == ["m1"]
        here.do(Reported(late))
        assert here.published == [], "nothing is ordered from m2 yet"
        here.check(1)
        assert (here.state(), here.published) == (State.RECOVERING, [])
        here.through()
        assert orders(here.last) == ["inc-run-1.0.1.2", "inc-run-1.0.2.2"]

    def test_a_resumed_rung_has_all_its_tries_again(self) -> None:
        here = course(RESTART)
        for _ in range(MAX_ATTEMPTS):
            here.report(0, Outcome.UNKNOWN)
        here.check(0, "api")
        assert here.state() == State.ESCALATED
        here.do(Resumed("eve"))
        assert orders(here.report(0, Outcome.UNKNOWN)) == ["inc-run-1.0.0.5", "inc-run-1.0.1.5"]


class TestUnknown:
    def test_a_step_told_as_unknown_is_ordered_again_so_often_and_then_looked_at(self) -> None:
        here = course()
        here.report(0)
        for attempt in range(2, MAX_ATTEMPTS + 1):
            decision = here.report(1, Outcome.UNKNOWN)
            assert orders(decision) == [f"inc-run-1.0.1.{attempt}"]
            assert f"ordered again, {attempt} of {MAX_ATTEMPTS}" in texts(decision)
        decision = here.report(1, Outcome.UNKNOWN)
        assert [each.orders for each in here.published] == [()]
        assert here.incident.rung == 0
        here.check()
        assert here.state() == State.RESOLVED, "what was done was enough, seen from outside"

    def test_when_the_tries_are_spent_nobody_waits_for_what_cannot_come(self) -> None:
        here = course(RESTART)
        for _ in range(MAX_ATTEMPTS):
            here.report(0, Outcome.UNKNOWN)
        assert here.step(1).reason == "not reached"
        here.check(0, "api")
        assert here.state() == State.ESCALATED

    def test_an_order_that_came_too_late_was_not_tried_and_is_ordered_again(self) -> None:
        here = course()
        here.now += 1000
        assert orders(here.report(0, Outcome.REFUSED)) == ["inc-run-1.0.0.2", "inc-run-1.0.1.2"]

    def test_silence_is_unknown_and_a_short_look_decides(self) -> None:
        here = course()
        decision = here.silence()
        assert [each.outcome for each in here.incident.steps] == [Outcome.UNKNOWN] * 2
        assert "no report from the agent of m4 by its deadline" in texts(decision)
        (look,) = here.published
        assert (look.orders, look.check_seconds) == ((), LOOK_SECONDS)
        assert here.state() == State.VERIFYING
        here.check()
        assert here.state() == State.RESOLVED

    def test_silence_and_a_sick_service_go_up_the_ladder(self) -> None:
        here = course()
        here.silence()
        here.check(0, "api")
        assert here.incident.rung == 1

    def test_a_report_after_the_silence_still_counts(self) -> None:
        here = course()
        late = here.report_on(here.step(0))
        here.silence()
        here.do(Reported(late))
        assert here.step(0).outcome is Outcome.DONE
        before = here.incident
        here.do(Reported(late))
        assert ignored(here, before, "came again")

    def test_every_branch_that_is_overdue_is_found_at_once(self) -> None:
        here = Course(ALL)
        here.through()
        here.silence()
        assert [(each.branch, each.orders) for each in here.published] == [(1, ()), (2, ())]

    @pytest.mark.parametrize("since", [None, 10_990.0])
    def test_what_a_deaf_coordinator_did_not_hear_says_nothing(self, since: float | None) -> None:
        here = course()
        before = here.incident
        here.do(Tick(listening_since=since), after=9_994.0)
        assert here.last.effects == ()
        assert here.incident == before

    def test_a_step_is_overdue_at_its_own_deadline_and_not_before(self) -> None:
        here = course()
        before = here.incident
        here.do(Tick(), after=here.step(0).overdue_at - here.now)
        assert here.incident == before
        here.do(Tick())
        assert [each.orders for each in here.published] == [()]

    def test_a_branch_with_its_verdict_is_not_looked_at_again(self) -> None:
        here = Course(ALL)
        here.through()
        here.through(2)
        here.silence()
        assert [each.branch for each in here.published] == [1]


class TestChecks:
    def test_a_lost_check_is_asked_for_again_so_often_and_then_fails_its_branch(self) -> None:
        here = course()
        here.report(0)
        here.report(1)
        for _ in range(MAX_CHECKS):
            here.silence()
            assert [each.orders for each in here.published] == [()]
        here.silence()
        assert here.incident.rung == 1
        assert "the check from outside never came back" in texts(here.last)

    def test_a_look_before_the_last_report_decides_nothing_and_is_repeated(self) -> None:
        here = course()
        here.report(0)
        here.check()
        assert (here.state(), here.last.effects) == (State.RECOVERING, ())
        here.report(1)
        assert [each.orders for each in here.published] == [()]
        here.check()
        assert here.state() == State.RESOLVED

    @pytest.mark.parametrize("where", [(1, 0), (0, 1), (0, -1), (-1, 0), (9, 9)])
    def test_a_look_at_something_else_changes_nothing(self, where: tuple[int, int]) -> None:
        here = course()
        here.report(0)
        here.report(1)
        before = here.incident
        here.do(Checked(*where, ()))
        assert ignored(here, before, "")

    def test_a_look_that_forgot_a_service_is_not_healthy(self) -> None:
        here = course()
        here.report(0)
        here.report(1)
        here.do(Checked(0, 0, ()))
        assert here.incident.rung == 1


class TestReports:
    def test_a_doubled_report_changes_nothing(self) -> None:
        here = course()
        report = here.report_on(here.step(0))
        here.do(Reported(report))
        before = here.incident
        here.do(Reported(replace(report, outcome=Outcome.FAILED.value)))
        assert ignored(here, before, "came again")

    @pytest.mark.parametrize(
        "wrong", [{"run": "x"}, {"agent": "x"}, {"rung": 1}, {"step": 7}, {"attempt": 2}]
    )
    def test_a_report_that_fits_no_order_changes_nothing(self, wrong: dict[str, str]) -> None:
        here = course()
        before = here.incident
        here.do(Reported(replace(here.report_on(here.step(0)), **wrong)))  # type: ignore[arg-type]
        assert ignored(here, before, "fits no order")

    def test_the_first_effect_is_the_earliest_that_was_begun(self) -> None:
        here = Course(ALL)
        here.report(0, Outcome.UNKNOWN)
        first = here.incident.first_effect_at
        late = replace(here.report_on(here.step(0)), started_at=500.0)
        here.do(Reported(late))
        assert first is not None
        assert here.incident.first_effect_at == 500.0
        refused = Course(ALL)
        refused.report(0, Outcome.REFUSED)
        assert refused.incident.first_effect_at is None

    def test_an_order_id_never_comes_twice_whatever_is_ordered_again(self) -> None:
        here = course(RESTART)
        lost, told = (here.report_on(here.step(n), Outcome.UNKNOWN) for n in (0, 1))
        here.silence()
        ids = orders(here.do(Reported(told)))
        ids += orders(here.do(Reported(lost)))
        ids += orders(here.report(1, Outcome.UNKNOWN))
        assert len(ids) == len(set(ids)) > 1


def test_a_yes_is_waited_for_until_its_deadline_and_then_people_are_called_again() -> None:
    asking = replace(worlds.RESTART, approval=Approval.ASK, within_s=600.0)
    course = Course(worlds.plan(asking))
    assert course.state() is State.AWAITING_APPROVAL
    course.do(Tick(), after=599)
    assert course.state() is State.AWAITING_APPROVAL
    course.do(Tick(), after=2)
    assert course.state() is State.ESCALATED
    assert "within 10 min" in course.incident.reason
    assert course.last.effects == (CallHuman(course.incident.reason),)
    course.do(Resumed("alice"))
    assert course.state() is State.RECOVERING
