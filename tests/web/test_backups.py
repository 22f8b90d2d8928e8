"""Backups and restore points over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from orchestrator.backups import BackupRefused, Backups
from orchestrator.core.filebackups import FilesJob, Push
from orchestrator.core.restorepoints import PointState, RestorePoint
from orchestrator.web.access import Role
from tasks.contract import Outcome
from tests.web.world import Api, World

SAID = {
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


FILES = FilesJob(
    name="one-files",
    machine="one",
    vault="two",
    folder="/r",
    password_file="/p",
    rpo_target_s=3600,
    rpo_maximum_s=7200,
    include=("/etc/x",),
    max_bytes=10,
    push=Push("backup", "/k", 22, ""),
)


def taken(world: World, api: Api) -> RestorePoint:
    """A backup that was ordered over HTTP, taken, and reported twice."""
    answer = api.post("/api/v1/backups/night/run", {})
    assert answer.status_code == 201, answer.text
    (order,) = world.orders()
    for _ in range(2):
        detail = json.dumps({"restore_point": SAID})
        world.report(order, Outcome.DONE, "proved", detail=detail)
    world.coordinator.check(order.run, 0, 0, 0.0)
    (point,) = world.store.restore_points.newest(limit=10)
    return point


def test_a_backup_is_a_run_and_becomes_a_restore_point(world: World, api: Api) -> None:
    taken(world, api)
    (order,) = world.orders()
    assert (order.agent, order.operation) == ("two", "redis.backup")
    run = api.get(f"/api/v1/runs/{order.run}").json()
    assert (run["state"], run["scenario"], run["rta_s"]) == ("resolved", "backup-night", None)
    assert api.get("/api/v1/incidents").json() == {"incidents": []}, "nothing failed"
    (point,) = api.get("/api/v1/restore-points").json()["restore_points"]
    assert point["location"] == ["two:/b/redis-1"]
    assert (point["job"], point["service"], point["machine"]) == ("night", "app", "one")
    assert (point["state"], point["verified_at"]) == ("verified", "1970-01-01T00:00:12.000Z")
    assert api.get("/api/v1/restore-points/redis-1").json() == point
    (job,) = api.get("/api/v1/backups").json()["backups"]
    assert (job["name"], job["at"], job["newest"]) == ("night", "02:00", point)
    assert api.get("/api/v1/restore-points", params={"job": "other"}).json() == {
        "restore_points": []
    }


def test_a_restore_is_shown_before_and_brings_the_backup_along(world: World, api: Api) -> None:
    taken(world, api)
    shown = api.get("/api/v1/restore-points/redis-1/plan").json()
    steps = shown["rungs"][0]["waves"][0][0]["steps"]
    assert [each["operation"] for each in steps] == ["backup.send", "redis.restore"]
    assert "what it has now is kept beside it" in shown["means"]
    assert len(world.orders()) == 1, "nothing was ordered"


def test_a_restore_is_ordered_once_for_a_key(world: World, api: Api) -> None:
    point = taken(world, api)
    world.store.restore_points.record(replace(point, vault="one", reported_at=2e9))
    headers = {"Idempotency-Key": "k"}
    path = "/api/v1/restore-points/redis-1/restore"
    first, second = (api.post(path, {}, headers=headers).json()["id"] for _ in "ab")
    assert first == second
    assert world.orders()[-1].arguments["id"] == "redis-1"
    other = api.post(path, {})
    assert other.status_code == 409
    assert f"run {first} of 'restore-app' works on one" in other.json()["detail"]


def test_a_backup_is_proved_again(world: World, api: Api) -> None:
    taken(world, api)
    assert api.post("/api/v1/restore-points/redis-1/verify", {}).status_code == 201
    assert world.orders()[-1].arguments == {"backup": "/b/redis-1"}


def test_files_are_pushed_by_their_machine_and_their_points_need_the_job(world: World) -> None:
    backups = Backups(world.coordinator, {"one-files": FILES})
    run = backups.take("one-files", reason="a test").run
    assert [(e.agent, e.machine, e.operation) for e in world.orders()] == [
        ("one", "one", "files.backup"),
        ("two", "one", "files.prove"),
        ("two", "one", "files.check"),
    ]
    with pytest.raises(BackupRefused, match="wait for its end"):
        backups.scan("one-files", reason="a test")
    with pytest.raises(BackupRefused, match="has no doctor"):
        backups.examine("one-files", reason="a test")
    world.coordinator.cancel(run, by="a test")
    point = RestorePoint(
        *("one-files-aaaaaaaa", "one-files", "", "one", "two", "/r", 10.0, 10.0, 12.0),
        *(PointState.VERIFIED, "", 5, "ab", 13.0, "files"),
    )
    world.store.restore_points.record(point)
    (step,) = backups.restore_plan(point).branch(0, 0).steps
    assert (step.agent, step.operation) == ("one", "files.restore")
    assert world.store.restore_points.newest_verified("", job="one-files") == point
    gone = Backups(world.coordinator, {})
    with pytest.raises(BackupRefused, match="put the job back under that name"):
        gone.restore(point.id, reason="a test")


def test_a_redis_is_not_scanned(world: World, api: Api) -> None:
    answer = api.post("/api/v1/backups/night/scan", {})
    assert answer.status_code == 409
    assert "is of kind 'redis', which cannot be scanned" in answer.json()["detail"]
    assert world.orders() == []


def test_a_failed_one_is_not_restored(world: World, api: Api) -> None:
    point = taken(world, api)
    bad = replace(point, state=PointState.FAILED, reason="a flipped byte", reported_at=2e9)
    world.store.restore_points.record(bad)
    answer = api.post("/api/v1/restore-points/redis-1/restore", {})
    assert answer.status_code == 409
    assert "failed: a flipped byte; only a verified one" in answer.json()["detail"]
    assert len(world.orders()) == 1


def test_two_backups_of_one_job_do_not_overlap(world: World, api: Api) -> None:
    assert api.post("/api/v1/backups/night/run", {}).status_code == 201
    answer = api.post("/api/v1/backups/night/run", {})
    assert answer.status_code == 409
    assert "wait for its end, or cancel it" in answer.json()["detail"]
    assert len(world.orders()) == 1


BAD = [
    ("/api/v1/backups/none/run", {}, 404, "unknown-job", "known: night"),
    ("/api/v1/backups/none/doctor", {}, 404, "unknown-job", "known: night"),
    ("/api/v1/restore-points/none/restore", {}, 404, "unknown-restore-point", "backup list"),
    ("/api/v1/restore-points/none/verify", {}, 404, "unknown-restore-point", "backup list"),
    ("/api/v1/restores/none/undo", {}, 404, "unknown-restore-point", "no run has restored"),
    ("/api/v1/restore-points/none/keys", {"pattern": ""}, 422, "not-understood", "body.pattern"),
    ("/api/v1/backups/night/run", {"reason": ""}, 422, "not-understood", "body.reason"),
    ("/api/v1/backups/night/run", {"x": 1}, 422, "not-understood", "body.x"),
]


@pytest.mark.parametrize(("path", "body", "status", "kind", "said"), BAD)
def test_what_cannot_be_is_refused(
    world: World, api: Api, path: str, body: dict[str, object], status: int, kind: str, said: str
) -> None:
    answer = api.post(path, body)
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (status, kind)
    assert said in answer.json()["detail"]
    assert world.orders() == []


def test_without_a_broker_nothing_is_begun(world: World, api: Api) -> None:
    world.publisher.away = True
    assert api.post("/api/v1/backups/night/run", {}).status_code == 503
    assert list(world.store.runs()) == []


def test_who_may_only_look_orders_nothing(caller: Callable[[Role | None], Api]) -> None:
    viewer = caller(Role.VIEWER)
    assert viewer.get("/api/v1/backups").status_code == 200
    assert viewer.post("/api/v1/backups/night/run", {}).status_code == 403
    assert caller(None).get("/api/v1/restore-points").status_code == 401


def test_a_service_that_is_gone_is_said(world: World, api: Api) -> None:
    point = taken(world, api)
    world.store.restore_points.record(replace(point, service="old", reported_at=2e9))
    answer = api.get("/api/v1/restore-points/redis-1/plan")
    assert answer.status_code == 409
    assert "not in fleet.yaml any more; it is in two:/b/redis-1" in answer.json()["detail"]
