"""What a weekly job does to a virtual machine, on each hypervisor that has the abilities."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tasks import catalog
from tasks.contract import Json, Outcome
from tasks.host import LocalHost
from tasks.hypervisors import Power
from tasks.operation import Result, carry_out
from tasks.snapshots import name_at
from tests.contracts.hypervisors import OTHER, QEMU, Rig, rig_of

PREFIX = "weekly-frontend"


class Late(LocalHost):
    """This machine, some weeks later."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def now(self) -> float:
        return super().now() + self._seconds


@pytest.fixture(scope="module", params=["hyperv", "libvirt", QEMU])
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig_of(request.param, tmp_path_factory.mktemp(f"{request.param}-vms")) as made:
        yield made


@pytest.fixture
def running(rig: Rig) -> Iterator[Rig]:
    rig.hypervisor.start(OTHER)
    yield rig
    for each in rig.hypervisor.list_snapshots(OTHER):
        rig.hypervisor.remove_snapshot(OTHER, each.name)


def order(rig: Rig, operation: str, *, after: float = 0.0, **more: Json) -> Result:
    named: Mapping[str, Json] = {"vm": OTHER, "hypervisor": rig.driver, "at": rig.at}
    job = {} if operation == "vm.restore_snapshot" else {"prefix": PREFIX, "job": "weekly"}
    given = {**named, **job, **more}
    host = Late(after)
    return carry_out(host, catalog.operations()[operation], given, ends=host.now() + 30)


KEEP: Mapping[str, Json] = {"within_s": 86400.0, "daily": 0, "weekly": 1, "monthly": 0}
WEEK = 7 * 86400.0


def names(rig: Rig) -> list[str]:
    return [each.name for each in rig.hypervisor.list_snapshots(OTHER)]


def test_snapshots_are_taken_kept_as_long_as_wanted_and_gone_back_to(running: Rig) -> None:
    running.hypervisor.snapshot(OTHER, "before the update")
    first = order(running, "vm.snapshot")
    point = json.loads(first.detail)["restore_point"]
    assert (first.outcome, point["state"], "no backup" in first.reason) == ("done", "taken", True)
    second = order(running, "vm.snapshot", after=WEEK)
    assert second.outcome is Outcome.DONE
    assert len(names(running)) == 3
    pruned = order(running, "vm.prune", after=WEEK + 5, **KEEP)
    assert json.loads(pruned.detail) == {"pruned": [point["id"]]}
    kept = json.loads(second.detail)["restore_point"]["id"]
    assert sorted(names(running)) == sorted(["before the update", kept])

    back = order(running, "vm.restore_snapshot", name=kept)
    assert back.outcome is Outcome.DONE, back.reason
    assert running.hypervisor.state(OTHER) is Power.RUNNING
    listed = running.hypervisor.list_snapshots(OTHER)
    assert [each.name for each in listed if each.current] == [kept]
    assert [each.name for each in listed if each.name.startswith("before-restore-")]
    assert order(running, "vm.restore_snapshot", name=point["id"]).outcome is Outcome.REFUSED


def test_an_export_leaves_no_snapshot_and_old_ones_go(running: Rig, tmp_path: Path) -> None:
    to = running.share(tmp_path)
    running.hypervisor.snapshot(OTHER, name_at(PREFIX, time.time() - WEEK))
    first = order(running, "vm.export", to=to)
    assert first.outcome is Outcome.DONE, first.reason
    assert names(running) == []
    point = json.loads(first.detail)["restore_point"]
    assert (point["state"], point["size_bytes"] > 0) == ("stored", True)
    assert order(running, "vm.export", after=WEEK, to=to).outcome is Outcome.DONE
    pruned = order(running, "vm.prune", after=WEEK + 5, to=to, **KEEP)
    assert json.loads(pruned.detail) == {"pruned": [point["id"]]}
    assert len(running.hypervisor.list_exports(OTHER, to)) == 1
