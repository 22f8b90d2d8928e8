"""What goes wrong with a libvirt, and what the driver says of it: one test for each.

The real virsh talks to a daemon of libvirt's own; what its test driver cannot be in is read from
what virsh says on a machine that can.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.fake import Exchange, FakeHost
from tasks.host import LocalHost, Ran
from tasks.hypervisors import Ability, Hypervisor, HypervisorFault, Power, connect
from tasks.hypervisors._libvirt_domains import domain
from tasks.hypervisors._virsh import passes
from tests.contracts.hypervisors import OTHER, VM, fault_of
from tests.contracts.libvirtd import Libvirtd, command, in_image, running_libvirtd
from tests.contracts.sshd import running_sshd


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Libvirtd]:
    folder = tmp_path_factory.mktemp("libvirt")
    with running_libvirtd(folder) as made:
        in_image("create", "-q", "-f", "qcow2", str(folder / "npu.qcow2"), "8M")
        made.define(VM, folder / "npu.qcow2")
        made.define(OTHER)
        yield made


@pytest.fixture
def asked(daemon: Libvirtd) -> Hypervisor:
    made = connect("libvirt", daemon.at, LocalHost())
    for each in (VM, OTHER):
        made.stop(each, hard=True)
    return made


@pytest.mark.parametrize("name", ["-Rédis; reboot $(x) & 'y'", "99", "Db  VM", "--all"])
def test_a_name_is_a_name_whatever_is_in_it(daemon: Libvirtd, asked: Hypervisor, name: str) -> None:
    daemon.define(name)
    asked.start(name)
    assert asked.state(name) is Power.RUNNING
    asked.snapshot(name, "-first; 'x' ü")
    assert [each.name for each in asked.list_snapshots(name)] == ["-first; 'x' ü"]
    asked.remove_snapshot(name, "-first; 'x' ü")
    assert asked.state(OTHER) is Power.OFF
    asked.stop(name, hard=False)
    daemon.virsh("undefine", f"--domain={name}")


def test_a_name_of_digits_is_not_the_number_of_another_machine(
    daemon: Libvirtd, asked: Hypervisor
) -> None:
    asked.start(VM)
    number = daemon.virsh("domid", VM).strip()
    daemon.define(number)
    assert asked.state(number) is Power.OFF
    asked.stop(number, hard=True)
    assert asked.state(VM) is Power.RUNNING
    listed = daemon.virsh("list", "--all", "--uuid", "--name").splitlines()
    daemon.virsh("undefine", next(e.split()[0] for e in listed if e.endswith(f" {number}")))


def test_a_paused_machine_goes_on_and_hears_no_orderly_stop(
    daemon: Libvirtd, asked: Hypervisor
) -> None:
    asked.start(VM)
    boot = asked.look(VM).boot
    daemon.virsh("suspend", VM)
    assert asked.state(VM) is Power.PAUSED
    fault_of(lambda: asked.stop(VM, hard=False), "is paused and hears nothing", retry=False)
    asked.start(VM)
    assert (asked.state(VM), asked.look(VM).boot) == (Power.RUNNING, boot)


def test_a_saved_machine_is_not_off_until_its_power_is_cut(
    daemon: Libvirtd, asked: Hypervisor
) -> None:
    asked.start(VM)
    daemon.virsh("managedsave", VM)
    assert asked.state(VM) is Power.PAUSED
    fault_of(lambda: asked.stop(VM, hard=False), "is saved and hears nothing", retry=False)
    asked.stop(VM, hard=True)
    assert asked.state(VM) is Power.OFF


def test_a_transient_machine_is_not_stopped_because_nothing_could_start_it_again(
    daemon: Libvirtd, asked: Hypervisor
) -> None:
    asked.start(OTHER)
    daemon.virsh("undefine", OTHER)
    for hard in (True, False):
        fault_of(lambda h=hard: asked.stop(OTHER, hard=h), "is transient", retry=False)  # type: ignore[misc]
    fault_of(lambda: asked.restart(OTHER), "is transient", retry=False)
    assert asked.state(OTHER) is Power.RUNNING
    daemon.virsh("destroy", OTHER)
    daemon.define(OTHER)


@pytest.mark.parametrize(
    ("state", "saved", "power"),
    [
        ("running", "no", Power.RUNNING),
        ("idle", "no", Power.RUNNING),
        ("paused", "no", Power.PAUSED),
        ("pmsuspended", "no", Power.PAUSED),
        ("in shutdown", "no", Power.STOPPING),
        ("shut off", "no", Power.OFF),
        ("shut off", "yes", Power.PAUSED),
        ("crashed", "no", Power.UNKNOWN),
        ("no state", "no", Power.UNKNOWN),
    ],
)
def test_a_state_of_libvirt_is_one_of_the_ports(state: str, saved: str, power: Power) -> None:
    assert domain(dominfo(state, saved)).power is power


def dominfo(state: str, saved: str = "no") -> str:
    return (
        f"Id:             7\nName:           {VM}\nUUID:           9804cb3a\nState:          "
        f"{state}\nPersistent:     yes\nManaged save:   {saved}\n"
    )


@pytest.mark.parametrize(
    ("state", "said", "retry"),
    [("crashed", "is crashed; cut its power first", False), ("in shutdown", "shutting", True)],
)
def test_a_machine_that_cannot_be_started_as_it_is(state: str, said: str, retry: bool) -> None:
    ask = f"virsh --quiet --connect qemu:///system dominfo --domain={VM}"
    host = FakeHost([Exchange(ask, Ran(0, dominfo(state), ""))])
    fault_of(lambda: connect("libvirt", "qemu:///system", host).start(VM), said, retry=retry)


def test_a_machine_that_stops_again_at_once() -> None:
    ask = "virsh --quiet --connect qemu:///system"
    off = Ran(0, dominfo("shut off"), "")
    host = FakeHost(
        [
            Exchange(f"{ask} dominfo --domain={VM}", off),
            Exchange(f"{ask} start --domain 9804cb3a", Ran(0, "", "")),
            Exchange(f"{ask} dominfo --domain={VM}", off),
        ]
    )
    asked = connect("libvirt", "qemu:///system", host)
    fault_of(lambda: asked.start(VM), "went off again at once", retry=False)


def test_a_machine_that_does_not_shut_down() -> None:
    ask = "virsh --quiet --connect qemu:///system"
    look = Exchange(f"{ask} dominfo --domain={VM}", Ran(0, dominfo("running"), ""), took=0.4)
    host = FakeHost(
        [look, Exchange(f"{ask} shutdown --domain 9804cb3a", Ran(0, "", "")), *[look] * 2]
    )
    asked = connect("libvirt", "qemu:///system", host)
    sentence = "after 1 s, AutoBot-NPU did not shut down"
    fault_of(lambda: asked.stop(VM, hard=False, seconds=1.2), sentence, retry=True)


def test_a_libvirt_that_is_not_there() -> None:
    asked = connect("libvirt", "test+unix:///default?socket=/nowhere", LocalHost())
    fault_of(lambda: asked.state(VM), "Failed to connect socket to '/nowhere'", retry=True)


def test_a_libvirt_that_accepts_the_connection_and_says_nothing(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "silent"))
        listener.listen()
        asked = connect("libvirt", f"test+unix:///default?socket={tmp_path}/silent", LocalHost())
        began = time.monotonic()
        fault_of(lambda: asked.start(VM, seconds=1), "virsh had not answered", retry=True)
        assert time.monotonic() - began < 2


def test_a_daemon_that_hangs_in_the_middle_is_bounded_too(
    daemon: Libvirtd, asked: Hypervisor
) -> None:
    process = int((daemon.log.with_name("pid")).read_text())
    os.kill(process, signal.SIGSTOP)
    try:
        fault_of(lambda: asked.start(VM, seconds=1), "virsh had not answered", retry=True)
    finally:
        os.kill(process, signal.SIGCONT)
    assert asked.state(VM) is Power.OFF


def test_a_machine_without_virsh() -> None:
    ask = f"virsh --quiet --connect qemu:///system dominfo --domain={VM}"
    host = FakeHost([Exchange(ask, Ran(127, "", "virsh: not found"))])
    asked = connect("libvirt", "qemu:///system", host)
    fault_of(lambda: asked.state(VM), "install libvirt-clients", retry=False)


@pytest.mark.parametrize(
    ("complaint", "retry"),
    [
        ("Cannot recv data: Host key verification failed.: Connection reset by peer", False),
        ("Cannot recv data: root@hv: Permission denied (publickey).: Connection reset", False),
        ("Cannot recv data: ssh: Could not resolve hostname hv: Connection reset by peer", False),
        ("unable to connect to server at 'hv:16514': Connection refused", True),
        ("unable to connect to server at 'hv:16514': Connection timed out", True),
        ("authentication failed: authentication failed", False),
        ("The certificate hasn't got a known issuer.", False),
        ("Timed out during operation: cannot acquire state change lock (held by x)", True),
        ("internal error: cannot set up guest memory: Cannot allocate memory", False),
        ("End of file while reading data: Input/output error", True),
        ("Unable to read from monitor: Connection reset by peer", True),
    ],
)
def test_whether_asking_again_helps(complaint: str, retry: bool) -> None:
    assert passes(complaint) is retry


def test_an_export_of_a_disk_that_cannot_be_read_is_not_listed_and_is_replaced(
    daemon: Libvirtd, asked: Hypervisor, tmp_path: Path
) -> None:
    asked.snapshot(VM, "weekly")
    to = str(tmp_path)
    fault_of(lambda: asked.export(VM, "weekly", to), "qemu-img convert", retry=False)
    assert asked.list_exports(VM, to) == ()
    (tmp_path / VM / "weekly.partial").rename(tmp_path / VM / "older.partial")
    image = str(daemon.log.with_name("npu.qcow2"))
    command("qemu-io", "-c", "write -P 0x11 0 64k", image)
    in_image("snapshot", "-c", "weekly", image)
    command("qemu-io", "-c", "write -P 0x22 0 64k", image)
    assert asked.export(VM, "weekly", to).files == 2
    copy = str(tmp_path / VM / "weekly" / "vda.qcow2")
    told = command("qemu-io", "-r", "-c", "read -P 0x11 0 64k", copy)
    assert "Pattern verification failed" not in told, "it is not of the snapshot's moment"
    assert (tmp_path / VM / "weekly").stat().st_mode & 0o077 == 0
    assert [each.name for each in (tmp_path / VM).iterdir()] == ["weekly"]
    fault_of(lambda: asked.list_exports(VM, "vm"), "no absolute path", retry=False)
    asked.remove_snapshot(VM, "weekly")


def test_disks_of_a_hypervisor_elsewhere_are_not_exported_from_here() -> None:
    asked = connect("libvirt", "qemu+ssh://root@hv1/system", FakeHost([]))
    assert asked.abilities == {Ability.SNAPSHOTS}
    fault_of(lambda: asked.export(VM, "weekly", "/srv"), "hypervisor's own machine", retry=False)


def test_it_works_over_our_own_ssh(daemon: Libvirtd, asked: Hypervisor, tmp_path: Path) -> None:
    asked.start(VM)
    with running_sshd(tmp_path) as sshd:
        host = sshd.connect()
        over = connect("libvirt", daemon.at, host)
        assert over.state(VM) is Power.RUNNING
        assert over.look(VM) == asked.look(VM)
        over.stop(VM, hard=False)
        assert not over.list_exports(VM, str(tmp_path))
        host.close()
    assert asked.state(VM) is Power.OFF


@pytest.mark.parametrize("at", ["hv1.example.org", "/etc/libvirt.ini", "qemu://sys tem", ""])
def test_what_is_no_uri(at: str) -> None:
    with pytest.raises(HypervisorFault, match="no libvirt URI") as fault:
        connect("libvirt", at, LocalHost())
    assert not fault.value.retry
