"""The hypervisors that the contract of the port runs on, each with two machines.

What lives here: making them, and asking them past the port. What must not: the contract
(test_hypervisor.py). A lab's machines are real; those of the Hyper-V host and of libvirt's
test driver are on paper, and what is real there is the protocol.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.lab import lab as labs
from deploy.lab.machines import NETWORK, MachineDefinition
from tasks.host import LocalHost
from tasks.hypervisors import BOOT_SLACK, Hypervisor, HypervisorFault, Power, connect
from tasks.hypervisors._hyperv_pool import SHELF
from tasks.operation import carry_out
from tasks.operations import vm_start
from tests.contracts.libvirtd import Libvirtd, in_image, running_libvirtd
from tests.hyperv.certificates import Authority
from tests.hyperv.machines import State
from tests.hyperv.server import PASSWORD, USER, HyperV, running_hyperv
from tests.integration.rig import wait_for
from tests.vm import image
from tests.vm.hypervisor import Hypervisor as RealHypervisor
from tests.vm.hypervisor import running_hypervisor, why_not

VM, OTHER = "AutoBot-NPU", "AutoBot-Frontend"
MACHINES = (
    MachineDefinition("npu", f"{NETWORK}.22", VM, ("npu-worker",)),
    MachineDefinition("frontend", f"{NETWORK}.21", OTHER, ("autobot-frontend",)),
)


class Rig(ABC):
    """A hypervisor behind the port, and what a test must know past it."""

    hypervisor: Hypervisor
    driver: str
    at: str

    @abstractmethod
    def boots(self, vm: str) -> int:
        """How often the machine was powered, by the hypervisor's own count."""

    @abstractmethod
    def wait_booted(self) -> None:
        """Until VM can be asked to shut down by itself."""

    @abstractmethod
    def works(self) -> bool:
        """Whether VM does what it is there for."""

    @abstractmethod
    def pass_time(self) -> None:
        """As long as two boots must be apart to be told apart."""

    def share(self, folder: Path) -> str:
        """Where this hypervisor may write exports; `folder` is empty."""
        return str(folder)

    def wrote(self, snapshot: str) -> None:  # noqa: B027 (most have written it themselves)
        """Does to VM's disk what a real hypervisor did when it took this snapshot."""


@dataclass
class LabRig(Rig):
    hypervisor: Hypervisor
    lab: labs.Lab

    def boots(self, vm: str) -> int:
        return next(each.boots for each in self.lab.status() if each.vm == vm)

    def wait_booted(self) -> None:
        self.lab.wait_booted(["npu"])

    def works(self) -> bool:
        return self.lab.inside("npu", ["systemctl", "start", "--", "npu-worker"]).ok

    def pass_time(self) -> None:
        """A lab counts its boots."""


@dataclass
class HyperVRig(Rig):
    hypervisor: Hypervisor
    server: HyperV

    def boots(self, vm: str) -> int:
        return self.server.machine(vm).boots

    def wait_booted(self) -> None:
        assert self.server.machine(VM).state is State.Running

    def works(self) -> bool:
        return self.server.machine(VM).state is State.Running

    def pass_time(self) -> None:
        time.sleep(BOOT_SLACK + 0.1)

    def share(self, folder: Path) -> str:
        self.server.shares["\\\\nas\\vm"] = folder
        return "//nas/vm"


@dataclass
class LibvirtRig(Rig):
    hypervisor: Hypervisor
    server: Libvirtd
    disk: Path

    def boots(self, vm: str) -> int:
        return self.server.events().count(f"event 'lifecycle' for domain '{vm}': Started Booted")

    def wait_booted(self) -> None:
        assert self.hypervisor.state(VM) is Power.RUNNING

    def works(self) -> bool:
        return self.hypervisor.state(VM) is Power.RUNNING

    def pass_time(self) -> None:
        """libvirt counts its boots."""

    def wrote(self, snapshot: str) -> None:
        in_image("snapshot", "-c", snapshot, str(self.disk))


@dataclass
class QemuRig(Rig):
    """libvirt once more, with machines that boot, run and lose their power."""

    hypervisor: Hypervisor
    server: RealHypervisor

    def boots(self, vm: str) -> int:
        return self.server.starts(vm)

    def wait_booted(self) -> None:
        wait_for("its boot", self.works, seconds=90)

    def works(self) -> bool:
        return image.UP in self.server.console(VM).read_text(errors="replace")

    def pass_time(self) -> None:
        """libvirt counts its boots."""


QEMU = pytest.param("qemu", marks=pytest.mark.long)


def drivers() -> list[str]:
    return [*labs.drivers(), "hyperv", "libvirt"]


@contextmanager
def rig_of(driver: str, folder: Path) -> Iterator[Rig]:
    if driver == "hyperv":
        authority = Authority(folder)
        with running_hyperv(VM, OTHER, tls=authority.server()) as server:
            at = settings_file(folder, server, ca_file=str(authority.file))
            rig: Rig = HyperVRig(connect("hyperv", at, LocalHost()), server)
            rig.driver, rig.at = driver, at
            yield rig
            SHELF.clear()
            assert not server.wsman.shells, "a shell was left open"
        return
    if driver == "libvirt":
        with running_libvirtd(folder) as daemon:
            disk = folder / "npu.qcow2"
            in_image("create", "-q", "-f", "qcow2", str(disk), "8M")
            daemon.define(VM, disk)
            daemon.define(OTHER)
            rig = LibvirtRig(connect("libvirt", daemon.at, LocalHost()), daemon, disk)
            rig.driver, rig.at = driver, daemon.at
            yield rig
        return
    if driver == "qemu":
        with qemu_rig(folder) as real:
            yield real
        return
    if reason := labs.why_not(driver):
        pytest.skip(f"the {driver} driver: {reason}")
    lab = labs.prepare(driver, folder, MACHINES)
    rig = LabRig(connect(driver, str(folder), LocalHost()), lab)
    rig.driver, rig.at = driver, str(folder)
    yield rig
    lab.down()


@contextmanager
def qemu_rig(folder: Path) -> Iterator[QemuRig]:
    """Machines of a kernel and a shell, which boot within seconds even where they are emulated."""
    if reason := why_not():
        pytest.skip(reason)
    base = image.kernel(print)
    with running_hypervisor((), folder) as server:
        for vm in (VM, OTHER):
            disk = folder / f"{vm}.qcow2"
            image.new_disk(disk)
            server.define(vm, (base / "kernel", base / "first", disk), memory=128)
        rig = QemuRig(connect("libvirt", server.at, LocalHost()), server)
        rig.driver, rig.at = "libvirt", server.at
        yield rig


def settings_file(folder: Path, server: HyperV, **changes: object) -> str:
    """Basic over TLS, unless `changes` say otherwise."""
    (folder / "password").write_text(f"{PASSWORD}\n")
    settings = {
        "host": "127.0.0.1",
        "port": server.port,
        "auth": "basic",
        "user": USER,
        "password_file": folder / "password",
        **changes,
    }
    file = folder / "hyperv.ini"
    lines = [f"{key} = {value}" for key, value in settings.items()]
    file.write_text("\n".join(["[hyperv]", *lines, ""]))
    return str(file)


def wait_until(true: Callable[[], bool]) -> None:
    ends = time.monotonic() + 10
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.01)


def fault_of(call: Callable[[], object], match: str, *, retry: bool) -> HypervisorFault:
    with pytest.raises(HypervisorFault, match=match) as fault:
        call()
    assert fault.value.retry is retry
    return fault.value


def order(at: str) -> dict[str, str]:
    return {"vm": VM, "hypervisor": "hyperv", "at": at}


def order_starts(at: str, count: int) -> None:
    """So many at once, as a wave of machines is started; all have ended then."""

    def start() -> None:
        carry_out(LocalHost(), vm_start.start, order(at), ends=time.time() + 20)

    starts = [threading.Thread(target=start) for _ in range(count)]
    for each in starts:
        each.start()
    for each in starts:
        each.join(60)
