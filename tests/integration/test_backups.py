"""A real Redis, backed up and restored through a real broker by a real agent."""

from __future__ import annotations

import getpass
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from orchestrator.backups import BackupRefused, Backups
from orchestrator.coordinator import Coordinator
from orchestrator.core.backups import Job, Keep
from orchestrator.core.fleet import Check, Fleet, Machine, Objectives, Service, StepTemplate
from orchestrator.core.incident import State
from orchestrator.core.redisbackups import ARRIVALS, Continuous, RedisJob
from orchestrator.core.restorepoints import PointState
from orchestrator.restores import Restores
from tests.backup.rig import Redis, capture, redis
from tests.backup.systemd import BIN, UNIT, fake_systemd
from tests.contracts.sshd import Sshd, running_sshd
from tests.integration import rig
from tests.integration.site import Site
from workers.inbox import register_backups


class BackupSite(Site):
    """Machine `one` has a Redis and keeps its backups; its unit is a stand-in for systemd's."""

    def __init__(self, broker: rig.Broker, directory: Path, stack: ExitStack) -> None:
        self.redis: Redis = stack.enter_context(redis(directory / "redis", save="3600 1"))
        super().__init__(broker, directory, stack)
        stack.enter_context(fake_systemd(directory, self.redis))
        self.job = RedisJob(
            name="night",
            service="redis",
            vault="one",
            folder=f"{directory}/backups",
            rpo_target_s=60,
            rpo_maximum_s=120,
            patterns=("doc:*",),
        )

    def _fleet(self) -> Fleet:
        address = {"address": "127.0.0.1", "port": self.redis.port}
        machines = {name: Machine(name, "127.0.0.1") for name in ("one", "two")}
        service = Service(
            "redis", "one", UNIT, Check("redis", address), settings={"port": self.redis.port}
        )
        return Fleet("small", "one", machines, {"redis": service}, Objectives(60, 120, 60, 120))

    def jobs(self) -> Mapping[str, Job]:
        return {"night": self.job}

    def register(self, app: Celery, coordinator: Coordinator) -> None:
        self.app, self.backups = app, Backups(coordinator, {"night": self.job})
        register_backups(app, self.backups)

    def begin(self, *more: str) -> None:
        path = f"{BIN}:{os.environ['PATH']}"
        for machine in ("one", *more):
            self.start_agent(machine, PATH=path, FAKE_UNIT=os.environ["FAKE_UNIT"])

    def reached_by(self, sshd: Sshd) -> None:
        """Machine `one` has this door."""
        way: dict[str, Any] = {
            "ssh_user": getpass.getuser(),
            "ssh_key": f"{sshd.home}/key",
            "ssh_port": sshd.port,
            "ssh_known_hosts": f"{sshd.home}/known_hosts",
        }
        machines = {**self.fleet.machines, "one": Machine("one", "127.0.0.1", way)}
        self.fleet = replace(self.fleet, machines=machines)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[BackupSite]:
    with ExitStack() as stack:
        broker = stack.enter_context(rig.broker("valkey", tmp_path))
        yield BackupSite(broker, tmp_path, stack)


def test_a_backup_ends_verified_and_a_restore_brings_deleted_keys_back(here: BackupSite) -> None:
    restore = StepTemplate("redis.restore", "redis")
    coordinator = here.coordinator({"redis": here.plan([restore], "redis")})
    here.begin()
    here.redis.fill(200)

    # As `celery call orchestrator.backup` does: the task's id is the run's.
    sent = here.app.send_task("orchestrator.backup", kwargs={"job": "night"})
    rig.wait_for("the run", lambda: here.store.load(sent.id) is not None)
    taken = here.ended(sent.id)
    assert taken.state is State.RESOLVED, taken.reason
    assert "from outside" not in taken.reason
    assert (taken.rta_s, taken.failure) == (None, None)
    (point,) = here.store.restore_points.newest(limit=10)
    assert (point.state, point.job, point.vault) == (PointState.VERIFIED, "night", "one")
    assert (Path(point.folder) / "dump.rdb").stat().st_size == point.size_bytes

    proved = here.ended(here.backups.verify(point.id, reason="a test").run)
    assert proved.state is State.RESOLVED, proved.reason
    again = here.store.restore_points.get(point.id)
    assert again is not None
    assert (again.verified_at or 0) > (point.verified_at or 0)

    here.redis.ask("FLUSHALL")
    back = here.ended(here.backups.restore(point.id, reason="a test").run, seconds=90)
    assert back.state is State.RESOLVED, back.reason
    assert here.redis.ask("DBSIZE") == 200
    newest = here.store.restore_points.newest_verified("redis")
    assert newest is not None
    assert newest.id != point.id, "a new backup at once"

    # The scenario's own rung takes the newest that was proved, by itself.
    here.redis.ask("FLUSHALL")
    run = coordinator.recover("redis", reason="a test")
    assert newest.id in run.plan.rungs[0].title
    assert here.ended(run.run, seconds=90).state is State.RESOLVED
    assert here.redis.ask("GET", "doc:7") == b"value 7"

    # One order goes back to what was there before the first restore: nothing.
    restores = Restores(here.backups)
    undone = here.ended(restores.undo(back.run, reason="a test").run, seconds=90)
    assert undone.state is State.RESOLVED, undone.reason
    assert here.redis.ask("DBSIZE") == 0
    keys = restores.keys(newest.id, "doc:1*", dry_run=False, reason="a test")
    assert here.ended(keys.run, seconds=90).state is State.RESOLVED
    assert here.redis.ask("DBSIZE") == 111


def test_a_damaged_backup_is_known_as_failed_and_is_not_restored(here: BackupSite) -> None:
    here.coordinator({})
    here.begin()
    here.redis.fill(50)
    assert here.ended(here.backups.take("night", reason="a test").run).state is State.RESOLVED
    (point,) = here.store.restore_points.newest(limit=10)
    dump = Path(point.folder) / "dump.rdb"
    content = bytearray(dump.read_bytes())
    content[len(content) // 2] ^= 1
    dump.write_bytes(content)
    ended = here.ended(here.backups.verify(point.id, reason="a test").run)
    assert ended.state is State.ESCALATED
    known = here.store.restore_points.get(point.id)
    assert known is not None
    assert known.state is PointState.FAILED
    assert "SHA-256" in known.reason
    with pytest.raises(BackupRefused, match="only a verified one"):
        here.backups.restore(point.id, reason="a test")
    assert here.store.restore_points.newest_verified("redis") is None


def test_a_source_that_is_away_is_a_failed_run_and_no_restore_point(here: BackupSite) -> None:
    here.coordinator({})
    here.begin()
    here.redis.kill()
    ended = here.ended(here.backups.take("night", reason="a test").run)
    assert ended.state is State.ESCALATED
    assert "no dump was taken" in ended.reason
    assert list(here.store.restore_points.newest(limit=10)) == []


def test_what_another_machine_keeps_is_brought_and_restored(here: BackupSite) -> None:
    here.reached_by(here.stack.enter_context(running_sshd(here.directory)))
    here.job = replace(here.job, vault="two")
    here.coordinator({})
    here.begin("two")
    here.redis.fill(120)
    taken = here.ended(here.backups.take("night", reason="a test").run)
    assert taken.state is State.RESOLVED, taken.reason
    (point,) = here.store.restore_points.newest(limit=10)
    here.stack.callback(shutil.rmtree, f"{ARRIVALS}/{point.id}", ignore_errors=True)
    here.redis.ask("FLUSHALL")
    back = here.ended(here.backups.restore(point.id, reason="a test").run, seconds=90)
    assert back.state is State.RESOLVED, back.reason
    assert [(e.operation, e.agent) for e in back.steps] == [
        ("backup.send", "two"),
        ("redis.restore", "one"),
        ("redis.backup", "two"),
    ]
    assert here.redis.ask("DBSIZE") == 120


def test_old_backups_go_from_the_vault_and_from_the_catalogue(here: BackupSite) -> None:
    here.job = replace(here.job, keep=Keep(0.001, 1, 0, 0))
    here.coordinator({})
    here.begin()
    for _ in range(2):
        ended = here.ended(here.backups.take("night", reason="a test").run)
        assert ended.state is State.RESOLVED, ended.reason
    (point,) = here.store.restore_points.newest(limit=10)
    assert [each.name for each in Path(here.job.folder).glob("redis-*")] == [point.id]


def test_a_slot_is_taken_once_by_whoever_looks_first(here: BackupSite) -> None:
    here.coordinator({})
    every = replace(here.job, every_s=3600.0)
    looking = [Backups(here.backups.coordinator, {"night": every}) for _ in range(2)]
    at = 1_000_000 * 3600.0
    assert [each.take_due(at - 1) for each in looking] == [[], []], "it was not looked after yet"
    assert [len(each.take_due(at + 1)) for each in looking] == [1, 0]
    assert [len(each.take_due(at + 2)) for each in looking] == [0, 0]


def test_a_mass_delete_is_undone_to_the_second_before_it(here: BackupSite) -> None:
    home = here.directory / "captured-here"
    here.job = replace(here.job, folder=str(home), continuous=Continuous())
    here.coordinator({})
    here.begin()
    with capture(home, here.redis) as made:
        made.wait_covered()
        here.redis.fill(150)
        taken = here.ended(here.backups.take("night", reason="a test").run)
        assert taken.state is State.RESOLVED, taken.reason
        assert [each.operation for each in taken.steps] == ["redis.cut"]
        (proved,) = here.store.restore_points.newest(limit=10)
        assert proved.state is PointState.VERIFIED
        here.redis.ask("SET", "after", "the proof")
        before = here.redis.digest()
        time.sleep(1.1)
        second = int(time.time()) - 1
        time.sleep(0.2)
        here.redis.ask("FLUSHALL")
        rig.wait_for("the next second", lambda: (made.status()["covers_until"] or 0) > second + 2)
        back = here.ended(here.backups.restore_at("night", second, reason="a test").run, seconds=90)
    assert back.state is State.RESOLVED, back.reason
    assert [each.operation for each in back.steps] == ["redis.cut", "redis.restore", "redis.cut"]
    assert here.redis.digest() == before
    again, restored, _ = here.store.restore_points.newest(limit=10)
    assert (restored.job, restored.covers_until) == ("night", float(second))
    assert (again.job, again.state) == ("night", PointState.VERIFIED), "and backed up at once"
    assert here.store.restore_points.newest_verified("redis", job="night") is not None
