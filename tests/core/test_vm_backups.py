"""The plans of a job for virtual machines: one after the other, and the whole machine back."""

from __future__ import annotations

import json
from dataclasses import replace

from orchestrator.core.backups import Keep
from orchestrator.core.events import Checked, Inform
from orchestrator.core.fleet import Approval, Fleet, Machine
from orchestrator.core.incident import State
from orchestrator.core.plan import OperationSpec, Plan
from orchestrator.core.restorepoints import PointState, points_of
from orchestrator.core.vmbackups import VmJob
from tasks.contract import Outcome
from tests.core import worlds
from tests.core.course import Course

NAMED = ("vm", "hypervisor", "at", "prefix", "job")
CATALOG = worlds.Operations(
    {
        name: OperationSpec(arguments, 60, only_looks=False, from_control=True)
        for name, arguments in {
            "vm.snapshot": NAMED,
            "vm.export": (*NAMED, "to"),
            "vm.prune": (*NAMED, "to", "within_s", "daily", "weekly", "monthly"),
            "vm.restore_snapshot": ("vm", "hypervisor", "at", "name"),
            "machine.reachable": ("address",),
            "machine.ready": (),
        }.items()
    },
    needed=("hypervisor",),
)


def in_vms(fleet: Fleet) -> Fleet:
    vms = {"hypervisor": "libvirt", "at": "qemu:///system"}
    return replace(
        fleet,
        machines={
            name: Machine(name, each.address, {**each.settings, "vm": f"VM {name}", **vms})
            for name, each in fleet.machines.items()
        },
    )


FLEET = in_vms(worlds.SMALL)
JOB = VmJob(
    name="weekly",
    machines=("m1", "m2"),
    vault="",
    folder="",
    rpo_target_s=1.0,
    rpo_maximum_s=2.0,
    keep=Keep(5.0, 0, 4, 0),
)
DETAIL = {
    "id": "weekly-m1-19700101T000000Z",
    "job": "weekly",
    "folder": "libvirt: VM m1",
    "taken_at": 0.0,
    "covers_until": 0.0,
    "verified_at": None,
    "state": "taken",
    "reason": "no backup",
    "size_bytes": 0,
    "sha256": "",
}


def planned(job: VmJob = JOB) -> Plan:
    found = job.backup_plan(FLEET, CATALOG)
    assert isinstance(found, Plan)
    return found


def test_each_machine_after_the_other_by_the_control_machines_agent() -> None:
    plan = planned()
    first, second = plan.rungs[0].branches
    assert [each.operation for each in first.steps] == ["vm.snapshot", "vm.prune"]
    assert {each.agent for each in (*first.steps, *second.steps)} == {FLEET.control}
    assert [each.number for each in (*first.steps, *second.steps)] == [0, 1, 2, 3]
    assert (first.awaits, second.awaits) == ((), (0,))
    assert first.steps[0].arguments["prefix"] == "weekly-m1"
    assert first.steps[1].arguments["weekly"] == 4
    assert not plan.urgent


def test_to_a_share_where_one_is_given() -> None:
    steps = planned(replace(JOB, export="//nas/vm")).branch(0, 0).steps
    assert [each.operation for each in steps] == ["vm.export", "vm.prune"]
    assert {each.arguments["to"] for each in steps} == {"//nas/vm"}


def test_one_that_fails_does_not_keep_the_others_from_theirs_and_is_told() -> None:
    course = Course(planned())
    course.report(0, Outcome.FAILED)
    assert course.state() is State.RECOVERING
    course.report(2)
    effects = list(course.report(3).effects)
    effects += course.do(Checked(0, 1, ())).effects
    assert course.state() is State.ESCALATED
    assert [each for each in effects if isinstance(each, Inform)]


def test_what_is_no_virtual_machine_is_a_fault_of_the_job() -> None:
    faults = JOB.backup_plan(worlds.SMALL, CATALOG)
    assert isinstance(faults, tuple)
    assert [each.message for each in faults] == [
        "machine 'm1' is in no hypervisor; give it `vm` and `hypervisor`",
        "machine 'm2' is in no hypervisor; give it `vm` and `hypervisor`",
    ]


def test_a_snapshot_is_catalogued_under_its_job_and_restored_after_a_yes() -> None:
    course = Course(planned())
    report = replace(course.report_on(course.step(0)), detail=json.dumps({"restore_point": DETAIL}))
    (point,) = points_of(course.incident, report, FLEET)
    assert (point.job, point.kind, point.machine, point.service) == ("weekly", "vm", "m1", "")
    assert (point.state, point.reason) == (PointState.TAKEN, "no backup")
    assert JOB.refusal(point) == ""
    plan = JOB.restore_plan(point, FLEET, CATALOG)
    assert plan.rungs[0].approval is Approval.ASK
    restore, reachable, ready = plan.branch(0, 0).steps
    assert (restore.agent, restore.machine) == (FLEET.control, "m1")
    assert restore.arguments["name"] == point.id
    assert (reachable.agent, ready.agent) == (FLEET.control, "m1")
    assert set(plan.branch(0, 0).checks) == {
        each.name for each in FLEET.services.values() if each.machine == "m1"
    }


def test_an_export_is_brought_back_by_hand() -> None:
    course = Course(planned())
    detail = json.dumps({"restore_point": {**DETAIL, "state": "stored", "folder": "//nas/vm/x"}})
    report = replace(course.report_on(course.step(0)), detail=detail)
    (point,) = points_of(course.incident, report, FLEET)
    assert "//nas/vm/x; it is brought back by hand" in JOB.refusal(point)
    assert JOB.verify_plan(point, FLEET, CATALOG) is None
