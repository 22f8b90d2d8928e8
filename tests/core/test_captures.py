"""What a continuous job means: its capture, its watch, its backups and the restore of a second."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.core.captures import (
    capture_settings,
    capture_watches,
    covers_plan,
    point_at,
    restore_at_plan,
)
from orchestrator.core.failure import Severity
from orchestrator.core.fleet import Machine
from orchestrator.core.plan import OperationSpec, Plan
from orchestrator.core.redisbackups import Continuous
from orchestrator.core.restorepoints import points_of
from tasks.contract import Kind
from tests.core import worlds
from tests.core.course import Course
from tests.core.sky import Sky
from tests.core.test_backups import CATALOG, JOB

AT, NOW = 1_000_000_000, 1_000_000_100.25
CONTINUOUS = replace(JOB, continuous=Continuous(30.0, 9.0, 7200.0), at_s=None, every_s=1800.0)
CUTS = replace(
    CATALOG,
    specs={
        **CATALOG.specs,
        **{
            name: OperationSpec(arguments, 60, only_looks=False, from_control=False)
            for name, arguments in {
                "redis.cut": ("into", "captured", "address", "at", "name", "window_s", "patterns"),
                "redis.covers": ("captured", "at"),
            }.items()
        },
    },
)


def test_its_backups_are_made_of_what_was_captured() -> None:
    plan = CONTINUOUS.backup_plan(worlds.SMALL, CUTS)
    assert isinstance(plan, Plan)
    (step,) = plan.branch(0, 0).steps
    assert (step.operation, step.agent) == ("redis.cut", "control")
    assert step.arguments == {
        "into": "/b",
        "captured": "/b/captured",
        "address": "10.0.0.2",
        "window_s": 7200.0,
        "patterns": ["doc:*"],
    }


def test_a_capture_is_told_where_its_redis_is_and_where_to_write() -> None:
    database = replace(
        worlds.SMALL.services["db"], settings={"port": 6380, "password_file": "/p", "log": "/l"}
    )
    fleet = replace(worlds.SMALL, services={**worlds.SMALL.services, "db": database})
    assert capture_settings(CONTINUOUS, fleet) == {
        "directory": "/b/captured",
        "address": "10.0.0.2",
        "port": 6380,
        "password_file": "/p",
        "segment_seconds": 30.0,
    }


def test_a_second_is_made_a_backup_first_and_that_is_restored_by_its_name() -> None:
    point = point_at(CONTINUOUS, AT, NOW, worlds.SMALL)
    assert point.id == "redis-20010909T014820.250Z-at-20010909T014640Z"
    plan = restore_at_plan(CONTINUOUS, AT, point, worlds.SMALL, CUTS)
    branch = plan.branch(0, 0)
    cut, send, restore = branch.steps
    assert [each.number for each in branch.steps] == [0, 1, 2]
    assert (cut.operation, cut.agent) == ("redis.cut", "control")
    assert (cut.arguments["at"], cut.arguments["name"]) == (AT, point.id)
    assert (send.operation, send.agent, send.machine) == ("backup.send", "control", "m1")
    assert send.arguments["backup"] == f"/b/{point.id}"
    assert restore.arguments["id"] == point.id
    assert (
        plan.rungs[0].title
        == "Restore db with what was captured until the end of 2001-09-09T01:46:40Z"
    )
    assert branch.required == ("db",), "and it is looked at from outside"
    (again,) = plan.branch(0, 1).steps
    assert (again.number, again.operation) == (3, "redis.cut"), "what is there now is backed up"
    here = replace(
        worlds.SMALL,
        services={
            **worlds.SMALL.services,
            "db": replace(worlds.SMALL.services["db"], machine="control"),
        },
        machines={**worlds.SMALL.machines, "control": Machine("control", "10.0.0.1")},
    )
    near = restore_at_plan(CONTINUOUS, AT, point, here, CUTS).branch(0, 0).steps
    assert [each.operation for each in near] == ["redis.cut", "redis.restore"]


def test_all_that_was_captured_is_what_a_lost_machine_needs() -> None:
    point = point_at(CONTINUOUS, None, NOW, worlds.SMALL)
    assert point.id == "redis-20010909T014820.250Z-last"
    plan = restore_at_plan(CONTINUOUS, None, point, worlds.SMALL, CUTS)
    cut, _, restore = plan.branch(0, 0).steps
    assert "at" not in cut.arguments
    assert (cut.arguments["name"], restore.arguments["id"]) == (point.id, point.id)
    assert "at" not in covers_plan(CONTINUOUS, None, CUTS).branch(0, 0).steps[0].arguments


def test_the_catalogue_knows_whose_backup_that_is() -> None:
    point = point_at(CONTINUOUS, AT, NOW, worlds.SMALL)
    course = Course(restore_at_plan(CONTINUOUS, AT, point, worlds.SMALL, CUTS))
    said = (
        f'{{"restore_point": {{"id": "{point.id}", "folder": "{point.folder}", "taken_at": 5, '
        '"covers_until": 4, "verified_at": 6, "state": "verified", "reason": "", '
        '"size_bytes": 7, "sha256": "ab"}}'
    )
    report = replace(course.report_on(course.step(0)), detail=said)
    (told,) = points_of(course.incident, report, worlds.SMALL)
    assert (told.job, told.kind, told.vault) == ("night", "redis", "control")


def test_what_would_be_loaded_is_asked_of_the_vault() -> None:
    plan = covers_plan(CONTINUOUS, AT, CUTS)
    (step,) = plan.branch(0, 0).steps
    assert (step.operation, step.agent) == ("redis.covers", "control")
    assert step.arguments == {"captured": "/b/captured", "at": AT}
    assert not plan.urgent


def watched() -> Sky:
    sky = Sky()
    (watch,) = capture_watches([JOB, CONTINUOUS])
    assert (watch.name, watch.vantage, watch.service) == ("own/capture-night", "control", "db")
    assert watch.arguments == {"captured": "/b/captured", "lag_s": 9.0}
    sky.watches[watch.name], sky.kinds[watch.name] = watch, Kind.GOOD
    return sky


def test_a_dead_capture_is_told_and_wakes_nobody() -> None:
    sky = watched()
    sky.kinds["own/capture-night"] = Kind.BAD
    assert sky.go(2).opened() == [], "it may just be started again"
    [failure] = sky.go(1).opened()
    assert (failure.cause, failure.severity) == ("own/capture-night", Severity.WARNING)


def test_a_capture_of_a_redis_that_is_down_is_no_failure_of_its_own() -> None:
    sky = watched()
    sky.kinds["own/capture-night"] = Kind.BAD
    assert [each.cause for each in sky.down("db", times=4).opened()] == ["service:db"]
