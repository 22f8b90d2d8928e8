"""What goes wrong with a Hyper-V host, and what the driver says of it: one test for each.

The real pypsrp talks to the host of tests/hyperv, which misbehaves as the test says.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tasks.host import LocalHost
from tasks.hypervisors import Hypervisor, Power, connect
from tasks.operation import Tell, carry_out
from tasks.operations import vm_restart, vm_start
from tests.contracts.hypervisors import (
    OTHER,
    VM,
    fault_of,
    order,
    settings_file,
    wait_until,
)
from tests.hyperv.certificates import Authority
from tests.hyperv.machines import CannotDo, Machine, State
from tests.hyperv.server import HyperV, running_hyperv


@pytest.mark.parametrize("errors", ["asked", "streamed"])
def test_an_unknown_machine(host: HyperV, asked: Hypervisor, errors: str) -> None:
    """Whether the error ends the pipeline, or comes beside one that completed."""
    host.behaviour.errors = errors  # type: ignore[assignment]
    fault_of(lambda: asked.state("AutoBot-Vault"), f"known: {OTHER}, {VM}", retry=False)


@pytest.mark.parametrize("errors", ["asked", "streamed"])
def test_a_start_that_the_host_refuses(host: HyperV, asked: Hypervisor, errors: str) -> None:
    host.behaviour.errors = errors  # type: ignore[assignment]
    host.machine(VM).refuses = "'AutoBot-NPU' failed to start. Not enough memory in the system."
    fault_of(lambda: asked.start(VM), "Not enough memory", retry=False)
    assert asked.state(VM) is Power.OFF


@pytest.mark.parametrize("form", ["text", "number", "enum"])
@pytest.mark.parametrize(
    ("state", "power"),
    [
        (State.Running, Power.RUNNING),
        (State.Off, Power.OFF),
        (State.Saved, Power.PAUSED),
        (State.Paused, Power.PAUSED),
        (State.Starting, Power.STARTING),
        (State.Stopping, Power.STOPPING),
    ],
)
def test_a_state_in_each_of_its_forms(
    host: HyperV, asked: Hypervisor, form: str, state: State, power: Power
) -> None:
    host.behaviour.state = form  # type: ignore[assignment]
    host.machine(VM).state = state
    assert asked.state(VM) is power


def test_a_machine_that_starts_and_stops_again_at_once(
    host: HyperV, asked: Hypervisor, at: str
) -> None:
    host.machine(VM).stops_at_once = True
    fault_of(lambda: asked.start(VM), "went off again at once", retry=False)
    result = carry_out(LocalHost(), vm_start.start, order(at), ends=time.time() + 30)
    assert (result.outcome, host.machine(VM).boots) == ("failed", 2)
    assert "went off again at once" in result.reason


def test_a_machine_stuck_in_starting(host: HyperV, asked: Hypervisor) -> None:
    host.machine(VM).stays_starting = True
    began = time.monotonic()
    fault_of(lambda: asked.start(VM, seconds=3), "still starting", retry=True)
    assert time.monotonic() - began < 4
    assert asked.state(VM) is Power.STARTING
    asked.stop(VM, hard=True)
    assert asked.state(VM) is Power.OFF


def test_a_slow_boot_is_waited_for(host: HyperV, asked: Hypervisor) -> None:
    host.machine(VM).boot_seconds = 1.5
    asked.start(VM)
    assert asked.state(VM) is Power.RUNNING


def test_a_machine_that_does_not_shut_down_is_left_running_until_its_power_is_cut(
    host: HyperV, asked: Hypervisor, at: str
) -> None:
    asked.start(VM)
    host.machine(VM).ignores_shutdown = True
    fault_of(lambda: asked.stop(VM, hard=False, seconds=3), "did not shut down in 3 s", retry=True)
    wait_until(lambda: host.machine(VM).state is State.Running)
    time.sleep(1.1)  # so that the new boot can be told from the old one
    told: list[str] = []
    result = carry_out(
        LocalHost(),
        vm_restart.restart,
        {**order(at), "shutdown_seconds": 2.0},
        ends=time.time() + 30,
        tell=Tell(told.append),
    )
    assert (result.outcome, host.machine(VM).boots) == ("done", 2)
    assert "cutting the power" in told[0]


@pytest.mark.parametrize("cmdlet", ["Get-VM", "Start-VM"])
def test_a_cmdlet_that_hangs_is_stopped_at_our_deadline(
    host: HyperV, asked: Hypervisor, cmdlet: str
) -> None:
    host.behaviour.hang.add(cmdlet)
    began = time.monotonic()
    fault_of(lambda: asked.start(VM, seconds=2), f"{cmdlet}.*deadline|did not answer", retry=True)
    assert time.monotonic() - began < 3
    host.behaviour.hang.clear()
    assert asked.state(VM) is Power.OFF


@pytest.mark.parametrize("tls", [True, False])
def test_a_host_that_accepts_the_connection_and_says_nothing(
    tmp_path: Path, authority: Authority, tls: bool
) -> None:
    with running_hyperv(VM, tls=authority.server() if tls else None) as server:
        server.silent = True
        way = {"ca_file": authority.file} if tls else {"ssl": "no", "encryption": "never"}
        asked = connect("hyperv", settings_file(tmp_path, server, **way), LocalHost())
        began = time.monotonic()
        fault_of(lambda: asked.state(VM, seconds=2), "did not answer", retry=True)
        assert time.monotonic() - began < 3
        server.silent = False
        assert asked.state(VM) is Power.OFF


def test_a_host_that_answers_byte_by_byte_is_bounded_too(host: HyperV, asked: Hypervisor) -> None:
    host.trickles = True
    began = time.monotonic()
    fault_of(lambda: asked.state(VM, seconds=2), "did not answer within 2 s", retry=True)
    assert time.monotonic() - began < 3
    host.trickles = False


def test_a_host_that_is_off(tmp_path: Path, authority: Authority) -> None:
    with running_hyperv(VM) as server:
        at = settings_file(tmp_path, server, ca_file=authority.file)
    asked = connect("hyperv", at, LocalHost())
    fault_of(lambda: asked.state(VM), "cannot be reached.*refused", retry=True)


def test_a_web_server_that_is_no_hypervisor(host: HyperV, asked: Hypervisor) -> None:
    host.not_there = True
    fault_of(lambda: asked.state(VM), "HTTP 404", retry=False)
    host.not_there = False


def test_a_host_without_hyper_v(host: HyperV, asked: Hypervisor) -> None:
    host.behaviour.cannot["Get-VM"] = CannotDo(
        "The term 'Get-VM' is not recognized.", "CommandNotFoundException"
    )
    fault_of(lambda: asked.state(VM), "not recognized", retry=False)


def test_a_user_without_the_right(host: HyperV, asked: Hypervisor) -> None:
    host.behaviour.cannot["Start-VM"] = CannotDo("You do not have permission.", "AccessDenied")
    fault_of(lambda: asked.start(VM), "permission", retry=False)


def test_a_start_of_a_machine_that_is_shutting_down_may_be_tried_again(
    host: HyperV, asked: Hypervisor
) -> None:
    host.machine(VM).state = State.Stopping
    host.behaviour.cannot["Start-VM"] = CannotDo("in its current state", "InvalidState")
    fault_of(lambda: asked.start(VM), "current state", retry=True)


def test_two_machines_of_one_name(host: HyperV, asked: Hypervisor) -> None:
    host.machines.append(Machine(VM.upper()))
    fault_of(lambda: asked.stop(VM, hard=True), "2 machines are named", retry=False)
    assert not host.asked("Stop-VM")


def test_two_checkpoints_of_one_name(host: HyperV, asked: Hypervisor) -> None:
    host.machine(VM).checkpoint("nightly")
    host.machine(VM).checkpoint("nightly")
    fault_of(lambda: asked.restore_snapshot(VM, "nightly"), "2 checkpoints", retry=False)
    assert not host.asked("Restore-VMSnapshot")


def test_an_export_that_breaks_off_is_not_listed_and_is_replaced_by_the_next(
    host: HyperV, asked: Hypervisor, tmp_path: Path
) -> None:
    host.shares["\\\\nas\\vm"] = tmp_path
    asked.snapshot(VM, "weekly")
    host.behaviour.export_ends = "There is not enough space on the disk."
    fault_of(lambda: asked.export(VM, "weekly", "//nas/vm"), "not enough space", retry=False)
    assert asked.list_exports(VM, "//nas/vm") == ()
    host.behaviour.export_ends = ""
    host.behaviour.unsound.add("disk.vhdx")
    fault_of(lambda: asked.export(VM, "weekly", "//nas/vm"), "vhdx is no sound disk", retry=False)
    assert asked.list_exports(VM, "//nas/vm") == ()
    host.behaviour.unsound.clear()
    asked.snapshot(VM, "next")
    assert asked.export(VM, "next", "//nas/vm").files == 2
    assert [each.name for each in asked.list_exports(VM, "//nas/vm")] == ["next"]
    assert [each.name for each in (tmp_path / VM).iterdir()] == ["next"]


@pytest.mark.parametrize("to", ["weekly", "/srv/vm", "//nas", "", "c:vm"])
def test_what_is_no_share_is_not_exported_to(asked: Hypervisor, to: str) -> None:
    asked.snapshot(VM, "weekly")
    fault_of(lambda: asked.export(VM, "weekly", to), "no place for an export", retry=False)


def test_nothing_asks_a_person(host: HyperV, asked: Hypervisor, tmp_path: Path) -> None:
    host.shares["\\\\nas\\vm"] = tmp_path
    asked.start(VM)
    asked.restart(VM)
    asked.snapshot(VM, "weekly")
    asked.export(VM, "weekly", "//nas/vm")
    asked.restore_snapshot(VM, "weekly")
    asked.remove_snapshot(VM, "weekly")
    acts = [
        each for each in host.wsman.asked if not each[1].startswith(("Get-", "Select-", "Test-"))
    ]
    assert len(acts) == 7
    assert all(given["Confirm"] is False for _, _, given in acts)
    assert all(given["ErrorAction"] == "Stop" for _, _, given in acts)
