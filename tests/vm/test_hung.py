"""vm.restart of machines that hear nothing, on QEMU: their power is cut, and they boot again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tasks.contract import Outcome
from tasks.host import LocalHost
from tasks.hypervisors import Power
from tasks.operation import Tell, carry_out
from tasks.operations import vm_restart
from tests.contracts.hypervisors import VM, QemuRig, qemu_rig
from tests.integration.rig import wait_for

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QemuRig]:
    with qemu_rig(tmp_path_factory.mktemp("hung")) as made:
        yield made


def stand_still(rig: QemuRig) -> Power:
    """Its processors get no time: as a hypervisor without room for it leaves it."""
    rig.server.virsh("suspend", VM)
    return Power.PAUSED


def crash(rig: QemuRig) -> Power:
    """Its kernel has panicked, and its hypervisor sees nothing of that."""
    rig.server.virsh("inject-nmi", VM)
    console = rig.server.console(VM)
    wait_for("its panic", lambda: "Kernel panic" in console.read_text(errors="replace"))
    return Power.RUNNING


@pytest.mark.parametrize("hang", [stand_still, crash])
def test_its_power_is_cut_and_it_boots_again(
    rig: QemuRig, hang: Callable[[QemuRig], Power]
) -> None:
    rig.hypervisor.start(VM)
    rig.wait_booted()
    starts = rig.boots(VM)
    assert hang(rig) is rig.hypervisor.state(VM)
    given = {"vm": VM, "hypervisor": "libvirt", "at": rig.at, "shutdown_seconds": 3}
    told: list[str] = []
    ends = time.time() + 60
    result = carry_out(LocalHost(), vm_restart.restart, given, ends=ends, tell=Tell(told.append))
    assert result.outcome is Outcome.DONE, result.reason
    assert told[0].startswith(f"cutting the power of {VM}, because it did not shut down: ")
    assert rig.boots(VM) == starts + 1
    rig.wait_booted()
