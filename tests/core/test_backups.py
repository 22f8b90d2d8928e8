"""The plans of backups, how such a run ends, what a report tells, and when one is due."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from orchestrator.core.backups import Job, Keep
from orchestrator.core.events import CallHuman, Checked, Inform, Tick
from orchestrator.core.fleet import Approval
from orchestrator.core.incident import State
from orchestrator.core.plan import OperationSpec, Plan
from orchestrator.core.redisbackups import RedisJob, needing_points, with_points
from orchestrator.core.restorepoints import PointState, RestorePoint, gone, merged, points_of
from orchestrator.core.slots import CATCH_UP_SECONDS, due_slot, next_slot
from tasks.contract import Outcome
from tests.core import worlds
from tests.core.course import Course

CATALOG = worlds.Operations(
    {
        name: OperationSpec(arguments, 60, only_looks=False, from_control=False)
        for name, arguments in {
            "redis.backup": ("into", "address", "patterns"),
            "redis.prune": ("into", "within_s", "daily", "weekly", "monthly"),
            "redis.restore": ("unit", "backup", "id"),
            "backup.send": ("backup", "into", "address"),
            "service.start": ("unit",),
        }.items()
    },
    needed=("unit", "into"),
)
JOB = RedisJob(
    name="night",
    service="db",
    vault="control",
    folder="/b",
    rpo_target_s=100,
    rpo_maximum_s=200,
    patterns=("doc:*",),
    at_s=7200.0,
)
POINT = RestorePoint(
    *("redis-1", "night", "db", "m1", "control", "/b/redis-1"),
    taken_at=10.0,
    covers_until=10.0,
    verified_at=12.0,
    state=PointState.VERIFIED,
    reason="",
    size_bytes=5,
    sha256="ab",
    reported_at=13.0,
)


def planned() -> Plan:
    found = JOB.backup_plan(worlds.SMALL, CATALOG)
    assert isinstance(found, Plan)
    return found


def test_a_backup_is_ordered_from_the_vault_and_asks_nobody_else() -> None:
    branch = planned().branch(0, 0)
    (step,) = branch.steps
    assert (step.agent, step.machine, step.service) == ("control", "control", "db")
    assert step.arguments == {"into": "/b", "address": "10.0.0.2", "patterns": ["doc:*"]}
    assert (branch.checks, branch.required) == ((), ())


def test_old_ones_go_after_a_new_one_was_proved_and_not_before() -> None:
    plan = replace(JOB, keep=Keep(5.0, 7, 4, 6)).backup_plan(worlds.SMALL, CATALOG)
    assert isinstance(plan, Plan)
    first, prune = plan.branch(0, 0).steps
    assert [first.number, prune.number] == [0, 1]
    assert (prune.operation, prune.agent) == ("redis.prune", "control")
    course = Course(plan)
    report = replace(course.report_on(course.step(1)), detail='{"pruned": ["redis-0"]}')
    assert gone(course.incident, report) == ("redis-0",)
    assert gone(course.incident, replace(report, agent="m1")) == ()
    assert gone(course.incident, replace(report, step=0)) == (), "not by another operation"


def test_it_ends_well_by_its_own_step_alone() -> None:
    course = Course(planned())
    course.report(0)
    course.do(Checked(0, 0, ()))
    assert course.state() is State.RESOLVED
    assert course.incident.rta_s is None, "nothing was recovered"
    assert "outside" not in course.incident.reason


def test_a_check_of_nothing_is_no_proof_while_the_step_is_out() -> None:
    course = Course(planned())
    course.do(Checked(0, 0, ()))
    assert course.state() is State.RECOVERING


def test_silence_of_the_vault_is_not_a_backup() -> None:
    course = Course(planned())
    course.do(Tick(listening_since=0.0), after=200.0)
    course.do(Checked(0, 0, ()))
    assert course.state() is State.ESCALATED
    assert "no report" in course.incident.reason


def test_a_failed_backup_is_told_and_wakes_nobody() -> None:
    course = Course(planned())
    effects = course.report(0, Outcome.FAILED).effects
    assert course.state() is State.ESCALATED
    assert [type(each) for each in effects] == [Inform]
    loud = Course(replace(planned(), urgent=True))
    assert [type(each) for each in loud.report(0, Outcome.FAILED).effects] == [CallHuman]


def test_a_restore_brings_the_backup_to_its_machine_first() -> None:
    plan = JOB.restore_plan(POINT, worlds.SMALL, CATALOG)
    send, restore = plan.branch(0, 0).steps
    assert (send.operation, send.agent, send.machine) == ("backup.send", "control", "m1")
    assert (restore.agent, restore.arguments["id"]) == ("m1", "redis-1")
    assert restore.arguments["backup"] == send.arguments["into"]
    assert [send.number, restore.number] == [0, 1]
    assert plan.branch(0, 0).required == ("db",)
    here = JOB.restore_plan(replace(POINT, vault="m1"), worlds.SMALL, CATALOG)
    (alone,) = here.branch(0, 0).steps
    assert alone.arguments["backup"] == "/b/redis-1"


def test_after_a_restore_comes_a_backup_whose_failure_takes_nothing_back() -> None:
    plan = replace(JOB, keep=Keep(5.0, 7, 4, 6)).restore_plan(POINT, worlds.SMALL, CATALOG)
    after = plan.branch(0, 1)
    assert [(each.number, each.operation, each.agent) for each in after.steps] == [
        (2, "redis.backup", "control")
    ], "and nothing older is removed"
    assert (after.name, after.needs, after.optional) == ("night", (0,), True)
    course = Course(plan)
    course.report(0)
    course.report(1)
    course.check(0)
    course.report(2, Outcome.FAILED)
    assert course.state() is State.RESOLVED
    assert "redis.backup" in course.incident.reason, "it is told"


def test_the_newest_point_is_bound_where_a_rung_names_none() -> None:
    ladder = JOB.restore_plan(POINT, worlds.SMALL, CATALOG).rungs[0]
    unbound = replace(
        ladder,
        title="Restore",
        approval=Approval.ASK,
        branches=(
            replace(
                ladder.branches[0],
                steps=(replace(ladder.branches[0].steps[1], number=0, arguments={"unit": "u"}),),
            ),
        ),
    )
    plan = Plan("db", (unbound,))
    assert needing_points(plan) == {"db"}
    assert with_points(plan, {}, worlds.SMALL, CATALOG) == plan
    found = with_points(plan, {"db": POINT}, worlds.SMALL, CATALOG)
    assert (found.rungs[0].title, found.rungs[0].approval) == ("Restore: redis-1", Approval.ASK)
    assert needing_points(found) == frozenset()
    again = with_points(found, {"db": replace(POINT, id="later")}, worlds.SMALL, CATALOG)
    assert again == found, "what was chosen stays"


def test_a_report_tells_of_a_backup() -> None:
    course = Course(planned())
    said = {
        "id": "redis-1",
        "folder": "/b/redis-1",
        "taken_at": 10.0,
        "covers_until": 10.0,
        "verified_at": 12.0,
        "state": "verified",
        "reason": "",
        "size_bytes": 5,
        "sha256": "ab",
    }
    report = replace(
        course.report_on(course.step(0)), detail=json.dumps({"restore_point": said}), ended_at=13.0
    )
    assert points_of(course.incident, report, worlds.SMALL) == (POINT,)
    assert points_of(course.incident, replace(report, agent="m1"), worlds.SMALL) == ()
    assert points_of(course.incident, replace(report, step=7), worlds.SMALL) == ()


@pytest.mark.parametrize(
    "detail", ["", "restore_point", "[]", "null", '{"restore_point": {"id": "x", "state": "?"}}']
)
def test_any_other_detail_is_text_for_people(detail: str) -> None:
    course = Course(planned())
    report = replace(course.report_on(course.step(0)), detail=detail)
    assert points_of(course.incident, report, worlds.SMALL) == ()


def test_what_was_said_later_counts() -> None:
    later = replace(POINT, state=PointState.FAILED, reported_at=99.0, job="other")
    assert merged(POINT, later) == replace(later, job="night")
    assert merged(later, POINT) == later


DAY = 86400.0
MONDAY = 4 * DAY  #: the fifth of January 1970


@pytest.mark.parametrize(
    ("job", "now", "due"),
    [
        (JOB, MONDAY + 7199, None),
        (JOB, MONDAY + 7200, MONDAY + 7200),
        (JOB, MONDAY + 7200 + CATCH_UP_SECONDS, MONDAY + 7200),
        (JOB, MONDAY + 7201 + CATCH_UP_SECONDS, None),
        (replace(JOB, days=frozenset({0})), MONDAY + 7300, MONDAY + 7200),
        (replace(JOB, days=frozenset({1})), MONDAY + 7300, None),
        (replace(JOB, days=frozenset({6})), MONDAY + 7300, None),
        (replace(JOB, at_s=None), MONDAY + 7300, None),
        (replace(JOB, at_s=None, every_s=3600.0), MONDAY + 7300, MONDAY + 7200),
    ],
)
def test_the_newest_slot_is_due_until_its_window_ends(
    job: Job, now: float, due: float | None
) -> None:
    assert due_slot(job, 0.0, now) == due


def test_nothing_was_missed_before_the_job_was_known() -> None:
    assert due_slot(JOB, MONDAY + 7201, MONDAY + 7300) is None


def test_the_next_slot_is_the_first_from_now_on_and_one_that_is_just_taken() -> None:
    daily = replace(JOB, at_s=7200.0, days=frozenset({0, 3}))
    assert next_slot(daily, MONDAY + 7199) == MONDAY + 7200
    assert next_slot(daily, MONDAY + 7210) == MONDAY + 7200
    assert next_slot(daily, MONDAY + 7330) == MONDAY + 3 * 86400 + 7200
    assert next_slot(daily, MONDAY + 4 * 86400) == MONDAY + 7 * 86400 + 7200
    hourly = replace(JOB, at_s=None, every_s=3600.0)
    assert next_slot(hourly, MONDAY + 3599) == MONDAY + 3600
    assert next_slot(hourly, MONDAY + 200) == MONDAY + 3600
    assert next_slot(replace(JOB, at_s=None), MONDAY) is None
