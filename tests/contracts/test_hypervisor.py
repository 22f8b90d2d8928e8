"""The contract of the hypervisor port, on every driver that this machine can run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasks.host import LocalHost
from tasks.hypervisors import (
    Ability,
    Hypervisor,
    HypervisorFault,
    Power,
    connect,
    drivers,
    same_boot,
)
from tests.contracts import hypervisors
from tests.contracts.hypervisors import OTHER, VM, Rig, rig_of


@pytest.fixture(scope="module", params=[*hypervisors.drivers(), hypervisors.QEMU])
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    driver: str = request.param
    with rig_of(driver, tmp_path_factory.mktemp(f"{driver}-hypervisor")) as made:
        yield made


@pytest.fixture
def off(rig: Rig) -> Rig:
    rig.hypervisor.stop(VM, hard=True)
    return rig


@pytest.fixture
def running(rig: Rig) -> Rig:
    rig.hypervisor.start(VM)
    return rig


def test_every_driver_is_under_this_contract() -> None:
    assert sorted(hypervisors.drivers()) == drivers()


def test_a_start_powers_the_machine_and_a_second_one_changes_nothing(off: Rig) -> None:
    assert off.hypervisor.state(VM) is Power.OFF
    off.hypervisor.start(VM)
    assert off.hypervisor.state(VM) is Power.RUNNING
    assert off.hypervisor.look(VM).power is Power.RUNNING
    boots = off.boots(VM)
    off.hypervisor.start(VM)
    assert off.boots(VM) == boots


def test_the_boot_changes_with_every_start_and_only_then(running: Rig) -> None:
    first = running.hypervisor.look(VM).boot
    running.pass_time()
    running.hypervisor.start(VM)
    assert same_boot(running.hypervisor.look(VM).boot, first)
    running.hypervisor.stop(VM, hard=True)
    last = running.hypervisor.look(VM).boot
    assert last == "" or same_boot(last, first)
    running.hypervisor.start(VM)
    second = running.hypervisor.look(VM).boot
    assert second
    assert not same_boot(second, first)


def test_two_starts_at_once_power_the_machine_once(off: Rig) -> None:
    boots = off.boots(VM)
    with ThreadPoolExecutor(3) as pool:
        for each in [pool.submit(off.hypervisor.start, VM) for _ in range(3)]:
            each.result(60)
    assert off.hypervisor.state(VM) is Power.RUNNING
    assert off.boots(VM) == boots + 1


def test_machines_are_powered_independently(running: Rig) -> None:
    running.hypervisor.start(OTHER)
    running.hypervisor.stop(VM, hard=True)
    assert running.hypervisor.state(OTHER) is Power.RUNNING
    running.hypervisor.stop(OTHER, hard=True)


def test_an_orderly_stop_ends_with_the_machine_off(running: Rig) -> None:
    running.wait_booted()
    running.hypervisor.stop(VM, hard=False)
    assert running.hypervisor.state(VM) is Power.OFF


def test_a_hard_stop_ends_with_the_machine_off_and_can_be_repeated(running: Rig) -> None:
    running.hypervisor.stop(VM, hard=True)
    running.hypervisor.stop(VM, hard=True)
    running.hypervisor.stop(VM, hard=False)
    assert running.hypervisor.state(VM) is Power.OFF


def test_a_machine_boots_again_after_losing_power(running: Rig) -> None:
    running.hypervisor.stop(VM, hard=True)
    running.hypervisor.start(VM)
    running.wait_booted()
    assert running.works()


def test_a_restart_is_a_new_boot_of_a_machine_that_was_on(running: Rig) -> None:
    boots, first = running.boots(VM), running.hypervisor.look(VM).boot
    running.pass_time()
    running.hypervisor.restart(VM)
    assert running.hypervisor.state(VM) is Power.RUNNING
    assert running.boots(VM) == boots + 1
    assert not same_boot(running.hypervisor.look(VM).boot, first)


def test_a_restart_starts_a_machine_that_was_off(off: Rig) -> None:
    off.hypervisor.restart(VM)
    assert off.hypervisor.state(VM) is Power.RUNNING


def test_an_unknown_machine_is_a_fault_that_names_the_known_and_does_not_ask_for_a_retry(
    rig: Rig,
) -> None:
    unknown = "AutoBot-Rédis; reboot"
    for ask in (rig.hypervisor.state, rig.hypervisor.look, rig.hypervisor.start):
        assert not fault_of(lambda ask=ask: ask(unknown), match=VM).retry  # type: ignore[misc]
    fault = fault_of(lambda: rig.hypervisor.stop(unknown, hard=True), match=VM)
    assert not fault.retry


def test_a_pattern_is_no_name(running: Rig) -> None:
    for pattern in ("*", "AutoBot-*", "AutoBot-NP[U]", ""):
        assert not fault_of(lambda p=pattern: running.hypervisor.stop(p, hard=True)).retry  # type: ignore[misc]
    assert running.hypervisor.state(VM) is Power.RUNNING


def test_snapshots_are_taken_listed_restored_and_removed(running: Rig) -> None:
    asked = running.hypervisor
    if Ability.SNAPSHOTS not in asked.abilities:
        refused = snapshot_calls(asked)
        assert [fault_of(call, match="snapshots").retry for call in refused] == [False] * 4
        assert asked.state(VM) is Power.RUNNING
        return
    before = time.time()
    asked.snapshot(VM, "first")
    asked.snapshot(VM, "second of 2026")
    listed = asked.list_snapshots(VM)
    assert [each.name for each in listed] == ["first", "second of 2026"]
    assert all(before - 1 <= each.taken_at <= time.time() + 1 for each in listed)
    assert asked.list_snapshots(OTHER) == ()
    assert [each.name for each in listed if each.current] == ["second of 2026"]
    asked.restore_snapshot(VM, "first")
    asked.start(VM)
    assert [e.name for e in asked.list_snapshots(VM) if e.current] == ["first"]
    for each in listed:
        asked.remove_snapshot(VM, each.name)
    assert asked.list_snapshots(VM) == ()


def snapshot_calls(asked: Hypervisor) -> list[Callable[[], object]]:
    return [
        lambda: asked.snapshot(VM, "first"),
        lambda: asked.list_snapshots(VM),
        lambda: asked.restore_snapshot(VM, "first"),
        lambda: asked.remove_snapshot(VM, "first"),
    ]


def test_a_second_snapshot_of_one_name_is_refused(running: Rig) -> None:
    asked = running.hypervisor
    if Ability.SNAPSHOTS not in asked.abilities:
        return
    asked.snapshot(VM, "nightly")
    assert not fault_of(lambda: asked.snapshot(VM, "Nightly"), match="already").retry
    asked.remove_snapshot(VM, "nightly")


def test_a_snapshot_that_is_not_there_is_a_fault_that_names_those_there_are(running: Rig) -> None:
    asked = running.hypervisor
    if Ability.SNAPSHOTS not in asked.abilities:
        return
    asked.snapshot(VM, "kept")
    boots = running.boots(VM)
    for call in (asked.restore_snapshot, asked.remove_snapshot):
        assert not fault_of(lambda call=call: call(VM, "lost"), match="kept").retry  # type: ignore[misc]
        assert not fault_of(lambda call=call: call(VM, "*")).retry  # type: ignore[misc]
    assert [each.name for each in asked.list_snapshots(VM)] == ["kept"]
    assert running.boots(VM) == boots
    asked.remove_snapshot(VM, "kept")


def test_a_snapshot_is_exported_listed_and_removed(running: Rig, tmp_path: Path) -> None:
    asked, to = running.hypervisor, running.share(tmp_path)
    if Ability.EXPORT not in asked.abilities:
        calls: list[Callable[[], object]] = [
            lambda: asked.export(VM, "weekly", to),
            lambda: asked.list_exports(VM, to),
            lambda: asked.remove_export(VM, "weekly", to),
        ]
        assert [fault_of(call, match="export").retry for call in calls] == [False] * 3
        return
    assert asked.list_exports(VM, to) == ()
    asked.snapshot(VM, "weekly")
    running.wrote("weekly")
    made = asked.export(VM, "weekly", to)
    assert (made.name, asked.list_exports(VM, to)) == ("weekly", (made,))
    on_disk = [each for each in tmp_path.rglob("*") if each.is_file()]
    assert made.files == len(on_disk)
    assert made.size_bytes == sum(each.stat().st_size for each in on_disk) > 0
    assert asked.list_exports(OTHER, to) == ()
    assert not fault_of(lambda: asked.export(VM, "weekly", to), match="exists").retry
    assert not fault_of(lambda: asked.export(VM, "lost", to), match="weekly").retry
    assert not fault_of(lambda: asked.remove_export(VM, "lost", to), match="weekly").retry
    asked.remove_export(VM, "weekly", to)
    assert asked.list_exports(VM, to) == ()
    assert not [each for each in tmp_path.rglob("*") if each.is_file()]
    asked.remove_snapshot(VM, "weekly")


@pytest.mark.parametrize("driver", drivers())
def test_a_place_where_no_hypervisor_is_described_is_a_fault(driver: str, tmp_path: Path) -> None:
    with pytest.raises(HypervisorFault, match=r"no lab at|no such file|no libvirt URI") as fault:
        connect(driver, str(tmp_path / "nothing"), LocalHost()).state(VM)
    assert not fault.value.retry


def test_an_unknown_driver_lists_the_known_ones() -> None:
    with pytest.raises(HypervisorFault, match="known: hyperv, libvirt, nspawn, process"):
        connect("vax", "", LocalHost())


def fault_of(call: Callable[[], object], *, match: str = ".") -> HypervisorFault:
    with pytest.raises(HypervisorFault, match=match) as fault:
        call()
    return fault.value
