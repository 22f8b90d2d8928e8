"""A job for virtual machines: a real broker, a real agent, a real libvirt daemon."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from orchestrator.backups import BackupRefused, Backups
from orchestrator.coordinator import Coordinator
from orchestrator.core.backups import Job, Keep
from orchestrator.core.fleet import Fleet, Machine, Objectives
from orchestrator.core.incident import State
from orchestrator.core.restorepoints import PointState
from orchestrator.core.vmbackups import VmJob
from orchestrator.rpo import RpoAlarm
from tests.contracts.libvirtd import Libvirtd, running_libvirtd
from tests.integration import rig
from tests.integration.site import Site
from workers.inbox import register_backups

NAMES = ("two", "three")


class VmSite(Site):
    """Machine `one` reaches the hypervisor; `two` and `three` are its machines."""

    def __init__(self, broker: rig.Broker, directory: Path, stack: ExitStack) -> None:
        self.daemon: Libvirtd = stack.enter_context(running_libvirtd(directory))
        super().__init__(broker, directory, stack)
        limits = {"rpo_target_s": 60.0, "rpo_maximum_s": 120.0}
        base: dict[str, Any] = {"vault": "", "folder": "", "machines": NAMES, **limits}
        self._jobs = {
            "weekly": VmJob(name="weekly", keep=Keep(60.0, 0, 4, 0), **base),
            "share": VmJob(name="share", export=f"{directory}/share", **base),
        }

    def _fleet(self) -> Fleet:
        there = {"hypervisor": "libvirt", "at": self.daemon.at}
        machines = {
            "one": Machine("one", "127.0.0.1"),
            **{each: Machine(each, "127.0.0.1", {"vm": f"VM {each}", **there}) for each in NAMES},
        }
        return Fleet("small", "one", machines, {}, Objectives(60, 120, 60, 120))

    def jobs(self) -> Mapping[str, Job]:
        return self._jobs

    def register(self, app: Celery, coordinator: Coordinator) -> None:
        self.backups = Backups(coordinator, self.jobs())
        register_backups(app, self.backups)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[VmSite]:
    with ExitStack() as stack:
        broker = stack.enter_context(rig.broker("valkey", tmp_path))
        site = VmSite(broker, tmp_path, stack)
        for each in NAMES:
            site.daemon.define(f"VM {each}")
            site.daemon.virsh("start", f"VM {each}")
        site.coordinator({})
        site.start_agent("one")
        yield site


def test_machines_are_snapshotted_exported_and_gone_back_to_after_a_yes(here: VmSite) -> None:
    taken = here.ended(here.backups.take("weekly", reason="a test").run)
    assert taken.state is State.RESOLVED, taken.reason
    points = here.store.restore_points.newest(limit=10, job="weekly")
    assert {each.machine for each in points} == set(NAMES)
    assert {(each.state, each.kind) for each in points} == {(PointState.TAKEN, "vm")}
    assert all("no backup" in each.reason for each in points)
    late = RpoAlarm(here.backups).complaints()["backups"]()
    assert "weekly" not in late

    exported = here.ended(here.backups.take("share", reason="a test").run)
    assert exported.state is State.RESOLVED, exported.reason
    whole = here.store.restore_points.newest(limit=10, job="share")
    assert {each.state for each in whole} == {PointState.STORED}
    assert all((Path(each.folder) / "domain.xml").stat().st_size for each in whole)
    with pytest.raises(BackupRefused, match="brought back by hand"):
        here.backups.restore(whole[0].id, reason="a test")

    asked = here.backups.restore(points[0].id, reason="a test")
    assert asked.state is State.AWAITING_APPROVAL
    assert points[0].id in asked.plan.rungs[0].title
    listed = here.daemon.virsh("snapshot-list", f"VM {points[0].machine}", "--name").split()
    assert listed == [points[0].id]
    here.backups.coordinator.approve(asked.run, "a test")
    rig.wait_for("the restore", lambda: done(here, asked.run, "vm.restore_snapshot"))
    listed = here.daemon.virsh("snapshot-list", f"VM {points[0].machine}", "--name").split()
    assert len([each for each in listed if each.startswith("before-restore-")]) == 1
    here.backups.coordinator.cancel(asked.run, "a test")


def done(here: VmSite, run: str, operation: str) -> bool:
    stored = here.store.load(run)
    assert stored is not None
    return any(e.operation == operation and e.outcome == "done" for e in stored.incident.steps)


def test_a_machine_that_is_gone_keeps_no_other_one_from_its_snapshot(here: VmSite) -> None:
    here.daemon.virsh("destroy", "VM two")
    here.daemon.virsh("undefine", "VM two")
    taken = here.ended(here.backups.take("weekly", reason="a test").run)
    assert taken.state is State.ESCALATED
    assert "there is no machine 'VM two'" in taken.reason
    points = here.store.restore_points.newest(limit=10, job="weekly")
    assert [each.machine for each in points] == ["three"]
