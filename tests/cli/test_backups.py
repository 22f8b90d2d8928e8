"""`backup` as a real process against the world's coordinator."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace

from orchestrator.core.backups import Keep
from orchestrator.core.restorepoints import PointState, RestorePoint
from tasks.contract import Outcome
from tests.cli.conftest import Run
from tests.integration.rig import wait_for
from tests.web.test_backups import SAID
from tests.web.world import NIGHT, World

POINT = RestorePoint(
    *("redis-1", "night", "app", "one", "two", "/b/redis-1"),
    taken_at=10.0,
    covers_until=10.0,
    verified_at=12.0,
    state=PointState.VERIFIED,
    reason="",
    size_bytes=5_250_000,
    sha256="ab",
    reported_at=13.0,
)


def test_run_follows_to_a_verified_backup_and_list_shows_it(world: World, online: Run) -> None:
    def agent() -> None:
        wait_for("an order", lambda: bool(world.orders()))
        (order,) = world.orders()
        world.report(order, Outcome.DONE, "proved", detail=json.dumps({"restore_point": SAID}))
        world.coordinator.check(order.run, 0, 0, 0.0)

    acting = threading.Thread(target=agent)
    acting.start()
    ran = online("backup", "run", "night")
    acting.join()
    assert ran.returncode == 0, ran.stderr
    assert "redis.backup" in ran.stdout
    assert "RTA" not in ran.stdout
    listed = online("backup", "list").stdout
    assert "redis-1  night  redis  verified  1970-01-01 00:00:10Z" in listed
    shown = json.loads(online("backup", "show", "redis-1", "--json").stdout)
    assert shown["location"] == ["two:/b/redis-1"]


def test_run_shows_how_far_it_is_and_json_does_not(world: World, online: Run) -> None:
    def agent() -> None:
        for number in (0, 1):
            wait_for("an order", lambda count=number: len(world.orders()) > count)  # type: ignore[misc]
            order = world.orders()[number]
            world.moves(order, 37_000_000, 200_000_000)
            # Until whoever follows has looked.
            time.sleep(1.5)
            world.report(order, Outcome.DONE, "proved", detail=json.dumps({"restore_point": SAID}))
            world.coordinator.check(order.run, 0, 0, 0.0)

    acting = threading.Thread(target=agent)
    acting.start()
    plain, as_json = online("backup", "run", "night"), online("backup", "run", "night", "--json")
    acting.join()
    moved = "receiving the dump: 37 MB of 200 MB (18 %), 2 MB/s, 82 s left"
    assert f"redis.backup on two: {moved}" in plain.stdout
    (step,) = json.loads(as_json.stdout)["steps"]
    assert (step["progress"]["done_bytes"], step["progress"]["left_s"]) == (37_000_000, 81.5)


def test_cancel_waits_for_what_is_out_and_says_how_it_ended(world: World, online: Run) -> None:
    run = online("backup", "run", "night", "--no-wait", "--json")
    run_id = json.loads(run.stdout)["id"]

    def agent() -> None:
        wait_for("the withdrawal", lambda: bool(world.publisher.withdrawn))
        (order,) = world.orders()
        world.report(order, Outcome.FAILED, "ended: cancelled by ops; there is no new backup")

    acting = threading.Thread(target=agent)
    acting.start()
    ran = online("run", "cancel", run_id)
    acting.join()
    assert ran.returncode == 0, ran.stderr
    assert "redis.backup on two: failed: ended: cancelled by ops" in ran.stdout
    assert "still at it" not in ran.stdout


def test_prune_says_what_would_go_and_what_went(world: World, online: Run) -> None:
    def agent() -> None:
        for number, said in enumerate(
            ("1 would go: redis-1; 2 backups would be kept", "1 removed")
        ):
            wait_for("an order", lambda count=number: len(world.orders()) > count)  # type: ignore[misc]
            order = world.orders()[number]
            assert order.arguments.get("dry_run", False) is (number == 0)
            world.report(order, Outcome.DONE, said)
            world.coordinator.check(order.run, 0, 0, 0.0)

    assert online("backup", "prune", "night").returncode == 1, "it keeps everything"
    world.configuration.inventory.backups["night"] = replace(NIGHT, keep=Keep(60.0, 1, 0, 0))  # type: ignore[index]
    acting = threading.Thread(target=agent)
    acting.start()
    dry, real = (online("backup", "prune", "night", *more) for more in (["--dry-run"], []))
    acting.join()
    assert dry.stdout.startswith("DRY RUN: nothing was removed; two: 1 would go: redis-1")
    assert (real.returncode, real.stdout.strip()) == (0, "two: 1 removed")


def test_a_restore_asks_first_and_a_dry_run_sends_nothing(world: World, online: Run) -> None:
    world.store.restore_points.record(POINT)
    dry = online("backup", "restore", "redis-1", "--dry-run", "--no-wait")
    assert dry.returncode == 0, dry.stderr
    assert "backup.send" in dry.stdout
    assert "systemctl stop app.service" in dry.stdout
    assert "5.25 MB" in online("backup", "list").stdout
    unsure = online("backup", "restore", "redis-1")
    assert unsure.returncode == 130
    assert "what it has now is kept" in unsure.stderr
    assert world.orders() == []
    sure = online("backup", "restore", "redis-1", "--yes", "--no-wait", "--json")
    assert sure.returncode == 0, sure.stderr
    assert json.loads(sure.stdout)["scenario"] == "restore-app"
    assert [each.operation for each in world.orders()] == ["backup.send", "redis.restore"]


def test_a_scan_that_its_kind_does_not_have_is_said(online: Run) -> None:
    ran = online("backup", "scan", "night")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "is of kind 'redis', which cannot be scanned" in ran.stderr


def test_a_dry_run_also_says_what_the_machine_says(world: World, online: Run) -> None:
    world.store.restore_points.record(POINT)

    def agent() -> None:
        wait_for("an order", lambda: bool(world.orders()))
        (order,) = world.orders()
        assert (order.agent, order.operation) == ("one", "redis.restore_rehearse")
        assert order.arguments["size_bytes"] == 5_250_000
        detail = "replaced and kept: /data/dump.rdb, 8000 bytes"
        world.report(order, Outcome.DONE, "takes about 3 s", detail=detail)
        world.coordinator.check(order.run, 0, 0, 0.0)

    acting = threading.Thread(target=agent)
    acting.start()
    dry = online("backup", "restore", "redis-1", "--dry-run")
    acting.join()
    assert dry.returncode == 0, dry.stderr
    assert "systemctl stop app.service" in dry.stdout
    assert "one: takes about 3 s" in dry.stdout
    assert "replaced and kept: /data/dump.rdb, 8000 bytes" in dry.stdout


def test_keys_alone_are_restored_and_a_restore_is_undone(world: World, online: Run) -> None:
    world.store.restore_points.record(POINT)
    unsure = online("backup", "restore", "redis-1", "--keys", "doc:*")
    assert (unsure.returncode, "what they replace is kept" in unsure.stderr) == (130, True)
    words = ("backup", "restore", "redis-1", "--keys", "doc:*", "--yes", "--no-wait", "--json")
    sure = online(*words)
    assert sure.returncode == 0, sure.stderr
    run = json.loads(sure.stdout)["id"]
    send, keys = world.orders()
    assert (send.operation, keys.operation) == ("backup.send", "redis.restore_keys")
    assert (keys.arguments["pattern"], keys.arguments["id"]) == ("doc:*", "redis-1")
    world.coordinator.cancel(run, "enough")
    for which in (run, "redis-1"):
        undone = online("backup", "undo", which, "--yes", "--no-wait", "--json")
        assert undone.returncode == 0, undone.stderr
        assert json.loads(undone.stdout)["scenario"] == "undo-app"
        assert world.orders()[-1].operation == "redis.restore_keys_undo"
        world.coordinator.cancel(json.loads(undone.stdout)["id"], "enough")
    none = online("backup", "undo", "none", "--yes")
    assert (none.returncode, "no run has restored 'none'" in none.stderr) == (2, True)


def test_what_is_not_there_is_a_fault_of_usage(online: Run) -> None:
    for words in (("run", "none"), ("show", "none"), ("restore", "none"), ("verify", "none")):
        ran = online("backup", *words)
        assert (ran.returncode, ran.stdout) == (2, ""), words
        assert "there is no" in ran.stderr


def test_the_doctor_shows_what_it_found(world: World, online: Run) -> None:
    def agent() -> None:
        wait_for("an order", lambda: bool(world.orders()))
        (order,) = world.orders()
        detail = "warning: no_checksum: its dumps have no checksum; set rdbchecksum yes"
        world.report(order, Outcome.DONE, "1 findings", detail=detail)
        world.coordinator.check(order.run, 0, 0, 0.0)

    acting = threading.Thread(target=agent)
    acting.start()
    ran = online("backup", "doctor", "night")
    acting.join()
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[0] == "one: 1 findings"
    assert "set rdbchecksum yes" in ran.stdout
