"""The plans of backups of files: who does what in which order, and what a report tells."""

from __future__ import annotations

import json
from dataclasses import replace

from orchestrator.core.backups import Keep, Offsite
from orchestrator.core.filebackups import FilesJob, Push
from orchestrator.core.plan import OperationSpec, Plan, Step
from orchestrator.core.redisbackups import RedisJob
from orchestrator.core.restorepoints import PointState, merged, points_of
from tests.core import worlds
from tests.core.course import Course

WAY = ("vault_address", "push_user", "push_key", "push_port", "push_known_hosts")
HERE = ("job", "folder", "password_file")
COPY = ("offsite", "offsite_password_file")
CATALOG = worlds.Operations(
    {
        name: OperationSpec(arguments, 60, only_looks=False, from_control=False)
        for name, arguments in {
            "files.backup": (*HERE, *WAY, "machine", "include", "max_bytes", "staging"),
            "files.prove": (*HERE, "snapshot"),
            "files.check": ("folder", "password_file"),
            "files.prune": (*HERE, "within_s", "daily", "weekly", "monthly"),
            "files.offsite": (*HERE, *COPY),
            "files.list": HERE,
            "files.restore": (*HERE, *WAY, "snapshot", "restored"),
            "redis.backup": ("into", "address"),
            "redis.prune": ("into", "within_s"),
            "redis.offsite": ("job", "into", *COPY),
        }.items()
    }
)
JOB = FilesJob(
    name="m1-files",
    machine="m1",
    vault="control",
    folder="/r",
    password_file="/p",
    rpo_target_s=100,
    rpo_maximum_s=200,
    include=("/etc/x",),
    max_bytes=5,
    push=Push("backup", "/k", 22, ""),
)
ELSEWHERE = Offsite("sftp:e:/r", "/q")


def steps(plan: object) -> tuple[Step, ...]:
    assert isinstance(plan, Plan), plan
    assert not plan.urgent
    return plan.branch(0, 0).steps


def test_the_machine_pushes_and_the_vault_proves() -> None:
    push, prove, check = steps(JOB.backup_plan(worlds.SMALL, CATALOG))
    assert [(e.operation, e.agent) for e in (push, prove, check)] == [
        ("files.backup", "m1"),
        ("files.prove", "control"),
        ("files.check", "control"),
    ]
    assert {each.machine for each in (push, prove, check)} == {"m1"}
    vault = worlds.SMALL.machines["control"].address
    assert push.arguments["vault_address"] == vault
    assert (push.arguments["push_user"], push.arguments["include"]) == ("backup", ["/etc/x"])
    assert prove.arguments == {"job": "m1-files", "folder": "/r", "password_file": "/p"}
    (near, *_) = steps(replace(JOB, vault="m1", push=None).backup_plan(worlds.SMALL, CATALOG))
    assert "vault_address" not in near.arguments


def test_what_is_old_goes_and_copies_are_made_after_the_proof() -> None:
    job = replace(JOB, keep=Keep(7200.0, 7, 4, 6), offsite=ELSEWHERE)
    planned = steps(job.backup_plan(worlds.SMALL, CATALOG))
    assert [each.number for each in planned] == list(range(6))
    assert [each.operation for each in planned[2:]] == [
        *("files.check", "files.prune", "files.offsite", "files.prune")
    ]
    here, copy, there = planned[3:]
    assert (here.arguments["folder"], here.arguments["daily"]) == ("/r", 7)
    assert (copy.arguments["folder"], copy.arguments["offsite"]) == ("/r", "sftp:e:/r")
    assert (there.arguments["folder"], there.arguments["password_file"]) == ("sftp:e:/r", "/q")


def test_a_redis_is_copied_elsewhere_too() -> None:
    job = RedisJob(
        name="night",
        service="db",
        vault="control",
        folder="/b",
        rpo_target_s=1,
        rpo_maximum_s=2,
        keep=Keep(7200.0, 7, 4, 6),
        offsite=ELSEWHERE,
    )
    planned = steps(job.backup_plan(worlds.SMALL, CATALOG))
    assert [each.operation for each in planned] == [
        *("redis.backup", "redis.prune", "redis.offsite", "files.prune")
    ]
    assert planned[2].arguments["into"] == "/b"
    assert planned[3].arguments["folder"] == "sftp:e:/r"


def test_what_is_told_of_many_and_restored_is_found_again() -> None:
    course = Course(JOB_SCAN)
    said = {
        "id": "m1-files-aaaaaaaa",
        "folder": "/r",
        "taken_at": 10.0,
        "covers_until": 10.0,
        "verified_at": None,
        "state": "stored",
        "reason": "",
        "size_bytes": 0,
        "sha256": "",
    }
    detail = json.dumps({"restore_points": [said, {**said, "id": "m1-files-bbbbbbbb"}]})
    report = replace(course.report_on(course.step(0)), detail=detail)
    first, second = points_of(course.incident, report, worlds.SMALL)
    assert (first.kind, first.job, first.service) == ("files", "m1-files", "")
    assert (first.machine, first.vault, first.state) == ("m1", "control", PointState.STORED)
    (back,) = steps(JOB.restore_plan(second, worlds.SMALL, CATALOG))
    assert (back.operation, back.agent) == ("files.restore", "m1")
    assert back.arguments["snapshot"] == "bbbbbbbb"
    (again,) = steps(JOB.verify_plan(second, worlds.SMALL, CATALOG))
    assert (again.agent, again.arguments["snapshot"]) == ("control", "bbbbbbbb")
    proved = replace(first, state=PointState.VERIFIED, offsite="sftp:e:/r", reported_at=1e9)
    later = replace(proved, offsite="", reported_at=2e9)
    assert merged(proved, later).location == ("control:/r", "sftp:e:/r")


JOB_SCAN = JOB.scan_plan(worlds.SMALL, CATALOG)
