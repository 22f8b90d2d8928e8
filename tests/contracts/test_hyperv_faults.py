"""What goes wrong with a Hyper-V host, and what the driver says of it: one test for each.

The real pypsrp talks to the host of tests/hyperv, which misbehaves as the test says.
"""

from __future__ import annotations

import datetime
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasks.host import LocalHost
from tasks.hypervisors import Hypervisor, HypervisorFault, Power, connect
from tasks.hypervisors._hyperv_remote import SHELF, Deadline, Pool, Shelf
from tasks.hypervisors._hyperv_settings import read_settings
from tasks.operation import carry_out
from tasks.operations import vm_restart, vm_start
from tests.contracts.hypervisors import settings_file
from tests.hyperv.certificates import Authority
from tests.hyperv.machines import CannotDo, Machine, State
from tests.hyperv.server import PASSWORD, HyperV, ntlm_users, running_hyperv

VM, OTHER = "AutoBot-Redis", "AutoBot-AI"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def host(authority: Authority) -> Iterator[HyperV]:
    with running_hyperv(VM, OTHER, tls=authority.server(), quota=5) as server:
        yield server
        SHELF.clear()
        wait_until(lambda: not server.wsman.shells)


@pytest.fixture
def at(tmp_path: Path, host: HyperV, authority: Authority) -> str:
    return settings_file(tmp_path, host, ca_file=authority.file)


@pytest.fixture
def asked(at: str) -> Hypervisor:
    return connect("hyperv", at, LocalHost())


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


@pytest.mark.parametrize("errors", ["asked", "streamed"])
def test_an_unknown_machine(host: HyperV, asked: Hypervisor, errors: str) -> None:
    """Whether the error ends the pipeline, or comes beside one that completed."""
    host.behaviour.errors = errors  # type: ignore[assignment]
    fault_of(lambda: asked.state("AutoBot-Vault"), f"known: {OTHER}, {VM}", retry=False)


@pytest.mark.parametrize("errors", ["asked", "streamed"])
def test_a_start_that_the_host_refuses(host: HyperV, asked: Hypervisor, errors: str) -> None:
    host.behaviour.errors = errors  # type: ignore[assignment]
    host.machine(VM).refuses = "'AutoBot-Redis' failed to start. Not enough memory in the system."
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
        tell=told.append,
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


def test_an_expired_certificate(tmp_path: Path, authority: Authority) -> None:
    expired = authority.server(valid_for=datetime.timedelta(days=-1))
    with running_hyperv(VM, tls=expired) as server:
        at = settings_file(tmp_path, server, ca_file=authority.file)
        asked = connect("hyperv", at, LocalHost())
        fault_of(lambda: asked.start(VM), "certificate has expired", retry=False)
        assert server.attempts == [], "a password was shown to a host that is not trusted"


def test_a_certificate_of_an_authority_that_is_not_trusted(tmp_path: Path, host: HyperV) -> None:
    asked = connect("hyperv", settings_file(tmp_path, host), LocalHost())
    fault_of(lambda: asked.state(VM), "certificate is not accepted", retry=False)
    assert host.attempts == []
    anyway = connect("hyperv", settings_file(tmp_path, host, validate="no"), LocalHost())
    assert anyway.state(VM) is Power.OFF


@pytest.mark.parametrize("auth", ["basic", "ntlm", "negotiate"])
def test_a_wrong_password_is_shown_exactly_once(
    tmp_path: Path, host: HyperV, authority: Authority, auth: str
) -> None:
    at = settings_file(tmp_path, host, ca_file=authority.file, auth=auth)
    (tmp_path / "password").write_text("wrong\n")
    with ntlm_users(tmp_path):
        fault_of(lambda: connect("hyperv", at, LocalHost()).state(VM), "refused", retry=False)
        # Neither a second order, nor six machines at once, in whatever process.
        starts = [threading.Thread(target=order_start, args=(at,)) for _ in range(6)]
        for each in starts:
            each.start()
        for each in starts:
            each.join(60)
        assert host.attempts == [False]
        fault_of(lambda: connect("hyperv", at, LocalHost()).state(VM), "not tried", retry=False)
        (tmp_path / "password").write_text(PASSWORD)
        right = connect("hyperv", at, LocalHost())
        assert right.state(VM) is Power.OFF
    assert host.attempts.count(False) == 1


def test_six_machines_at_once_show_a_wrong_password_once(
    tmp_path: Path, host: HyperV, at: str
) -> None:
    (tmp_path / "password").write_text("wrong")
    starts = [threading.Thread(target=order_start, args=(at,)) for _ in range(6)]
    for each in starts:
        each.start()
    for each in starts:
        each.join(60)
    assert host.attempts == [False]


def test_a_refused_password_is_tried_again_when_a_person_says_so(
    tmp_path: Path, host: HyperV, at: str
) -> None:
    host.password = "set on the host, and not here"
    fault_of(lambda: connect("hyperv", at, LocalHost()).state(VM), "refused", retry=False)
    host.password = PASSWORD
    note = tmp_path / "password.seen"
    assert PASSWORD not in note.read_text()
    fault_of(lambda: connect("hyperv", at, LocalHost()).state(VM), str(note), retry=False)
    note.unlink()
    asked = connect("hyperv", at, LocalHost())
    assert asked.state(VM) is Power.OFF


def test_a_quota_of_shells_that_others_use_up(host: HyperV, asked: Hypervisor) -> None:
    host.wsman.quota = 0
    fault_of(lambda: asked.state(VM), "concurrent shells", retry=True)
    host.wsman.quota = 1
    assert asked.state(VM) is Power.OFF


def test_fifty_calls_make_one_shell(host: HyperV, asked: Hypervisor) -> None:
    for _ in range(25):
        asked.state(VM)
        fault_of(lambda: asked.state("AutoBot-Vault"), "no machine", retry=False)
    assert (len(host.wsman.shells), host.wsman.opened) == (1, 1)


def test_a_shell_is_replaced_before_windows_counts_its_pipelines_as_too_many(
    host: HyperV, asked: Hypervisor
) -> None:
    host.wsman.commands_per_shell = 110
    for _ in range(130):
        assert asked.state(VM) is Power.OFF
    assert host.wsman.opened == 2


def test_what_was_given_up_does_not_happen_later(host: HyperV, asked: Hypervisor) -> None:
    host.wsman.create_seconds = 1.4
    fault_of(lambda: asked.start(VM, seconds=1), "did not answer", retry=True)
    wait_until(lambda: host.wsman.opened == 1)
    time.sleep(0.5)
    assert host.wsman.asked == []


def test_a_shell_that_was_long_idle_is_closed_and_not_used_again(host: HyperV, at: str) -> None:
    settings, shelf = read_settings(at, LocalHost()), Shelf(kept_seconds=0.1)
    pool = Pool(settings, Deadline(10))
    pool.open()
    shelf.put(settings, pool)
    assert shelf.take(settings) is pool
    shelf.put(settings, pool)
    time.sleep(0.2)
    assert shelf.take(settings) is None
    wait_until(lambda: not host.wsman.shells)


def test_a_process_that_ends_leaves_no_shell(host: HyperV, at: str) -> None:
    asks = (
        "import sys; from tasks.host import LocalHost; from tasks.hypervisors import connect; "
        "print(connect('hyperv', sys.argv[1], LocalHost()).state(sys.argv[2]))"
    )
    argv = [sys.executable, "-c", asks, at, VM]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("off\n", "")
    assert (host.wsman.opened, len(host.wsman.shells)) == (1, 0)


def test_after_a_restart_of_the_host_a_new_pool_is_made(host: HyperV, asked: Hypervisor) -> None:
    asked.start(VM)
    host.wsman.forget()
    asked.stop(VM, hard=True)
    assert asked.state(VM) is Power.OFF
    assert host.wsman.opened == 2


def test_a_restart_of_the_host_in_the_middle_of_a_call(host: HyperV, asked: Hypervisor) -> None:
    host.behaviour.hang.add("Start-VM")
    threading.Timer(0.5, host.wsman.forget).start()
    fault_of(lambda: asked.start(VM, seconds=8), "restarted", retry=True)
    host.behaviour.hang.clear()
    asked.start(VM)
    assert host.machine(VM).boots == 1


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


def test_nothing_asks_a_person(host: HyperV, asked: Hypervisor) -> None:
    asked.start(VM)
    asked.restart(VM)
    asked.snapshot(VM, "weekly")
    asked.export(VM, "weekly", "//share/weekly")
    asked.restore_snapshot(VM, "weekly")
    asked.remove_snapshot(VM, "weekly")
    acts = [each for each in host.wsman.asked if not each[1].startswith(("Get-", "Select-"))]
    assert len(acts) == 6
    assert all(given["Confirm"] is False for _, _, given in acts)
    assert all(given["ErrorAction"] == "Stop" for _, _, given in acts)


def test_a_proxy_of_the_environment_is_not_used(
    asked: Hypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert asked.state(VM) is Power.OFF


def test_no_password_is_ever_told(
    tmp_path: Path, at: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "hunter2 hunter2"
    (tmp_path / "password").write_text(secret)
    fault = fault_of(lambda: connect("hyperv", at, LocalHost()).state(VM), "refused", retry=False)
    assert secret not in f"{fault}{caplog.text}"
    assert secret not in repr(read_settings(at, LocalHost()))


def order(at: str) -> dict[str, str]:
    return {"vm": VM, "hypervisor": "hyperv", "at": at}


def order_start(at: str) -> None:
    carry_out(LocalHost(), vm_start.start, order(at), ends=time.time() + 20)
