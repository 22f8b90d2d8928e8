"""The contract of the hypervisor port, on every driver that this machine can run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.lab import lab as labs
from deploy.lab.machines import NETWORK, MachineDefinition
from tasks.host import LocalHost
from tasks.hypervisors import Hypervisor, HypervisorFault, Power, connect, drivers

VM, OTHER = "AutoBot-NPU", "AutoBot-Frontend"
MACHINES = (
    MachineDefinition("npu", f"{NETWORK}.22", VM, ("npu-worker",)),
    MachineDefinition("frontend", f"{NETWORK}.21", OTHER, ("autobot-frontend",)),
)


@dataclass
class Rig:
    hypervisor: Hypervisor
    lab: labs.Lab

    def boots(self, vm: str) -> int:
        return next(each.boots for each in self.lab.status() if each.vm == vm)


@pytest.fixture(scope="module", params=labs.drivers())
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    driver: str = request.param
    if reason := labs.why_not(driver):
        pytest.skip(f"the {driver} driver: {reason}")
    home: Path = tmp_path_factory.mktemp(f"{driver}-hypervisor")
    lab = labs.prepare(driver, home, MACHINES)
    yield Rig(connect(driver, str(home), LocalHost()), lab)
    lab.down()


@pytest.fixture
def off(rig: Rig) -> Rig:
    rig.hypervisor.stop(VM, hard=True)
    return rig


@pytest.fixture
def running(rig: Rig) -> Rig:
    rig.hypervisor.start(VM)
    return rig


def test_a_start_powers_the_machine_and_a_second_one_changes_nothing(off: Rig) -> None:
    assert off.hypervisor.state(VM) is Power.OFF
    off.hypervisor.start(VM)
    assert off.hypervisor.state(VM) is Power.RUNNING
    boots = off.boots(VM)
    off.hypervisor.start(VM)
    assert off.boots(VM) == boots


def test_the_boot_changes_with_every_start_and_only_then(running: Rig) -> None:
    first = running.hypervisor.boot(VM)
    running.hypervisor.start(VM)
    assert running.hypervisor.boot(VM) == first
    running.hypervisor.stop(VM, hard=True)
    assert running.hypervisor.boot(VM) == first
    running.hypervisor.start(VM)
    assert running.hypervisor.boot(VM) not in ("", first)


def test_two_starts_at_once_power_the_machine_once(off: Rig) -> None:
    boots = off.boots(VM)
    starts = [threading.Thread(target=off.hypervisor.start, args=(VM,)) for _ in range(3)]
    for each in starts:
        each.start()
    for each in starts:
        each.join(60)
    assert off.hypervisor.state(VM) is Power.RUNNING
    assert off.boots(VM) == boots + 1


def test_machines_are_powered_independently(running: Rig) -> None:
    running.hypervisor.start(OTHER)
    running.hypervisor.stop(VM, hard=True)
    assert running.hypervisor.state(OTHER) is Power.RUNNING
    running.hypervisor.stop(OTHER, hard=True)


def test_an_orderly_stop_ends_with_the_machine_off(running: Rig) -> None:
    running.lab.wait_booted(["npu"])
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
    running.lab.wait_booted(["npu"])
    assert running.lab.inside("npu", ["systemctl", "start", "--", "npu-worker"]).ok


def test_an_unknown_machine_is_a_fault_that_names_the_known_and_does_not_ask_for_a_retry(
    rig: Rig,
) -> None:
    for ask in (rig.hypervisor.state, rig.hypervisor.start):
        with pytest.raises(HypervisorFault, match=VM) as fault:
            ask("AutoBot-Rédis; reboot")
        assert not fault.value.retry


@pytest.mark.parametrize("driver", drivers())
def test_a_place_without_a_lab_is_a_fault(driver: str, tmp_path: Path) -> None:
    with pytest.raises(HypervisorFault, match="no lab at") as fault:
        connect(driver, str(tmp_path), LocalHost()).state(VM)
    assert not fault.value.retry


def test_an_unknown_driver_lists_the_known_ones() -> None:
    with pytest.raises(HypervisorFault, match="known: nspawn, process"):
        connect("vax", "", LocalHost())
