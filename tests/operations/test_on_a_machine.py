"""The service operations on a real systemd, over SSH: what the fixtures only claim of systemd.

One machine of the practice lab. Its units are written by the tests, so that each fault is the
plain one and no service of the fleet is needed.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping

import pytest

from deploy.lab import lab as labs
from tasks.catalog import operations
from tasks.contract import Json, Outcome
from tasks.host import HostFault
from tasks.operation import Tell, reconsider
from tasks.ssh import SshHost
from tests.integration import rig
from tests.operations.a_machine import do, inside, logged_in, unit

#: Building the machines' root file system, once, takes minutes.
pytestmark = pytest.mark.timeout(900)

WELL = "ExecStart=/bin/sleep 1000"
SPEAKS = "ExecStart=/usr/bin/python3 -m http.server --bind 127.0.0.1 8099"


def check(port: int = 8099) -> Mapping[str, Json]:
    return {"probe": "http", "url": f"http://127.0.0.1:{port}/"}


def test_a_machine_says_that_it_is_up(machine: SshHost) -> None:
    assert do(machine, "machine.ready").outcome is Outcome.DONE


def test_a_service_is_started_restarted_and_stopped(machine: SshHost) -> None:
    name = unit(machine, "well", SPEAKS)
    given: dict[str, Json] = {"unit": name, "check": check()}
    assert do(machine, "service.start", **given).outcome is Outcome.DONE
    assert do(machine, "service.start", **given).outcome is Outcome.UNCHANGED
    assert do(machine, "service.restart", **given).outcome is Outcome.DONE
    assert do(machine, "service.stop", unit=name).outcome is Outcome.DONE
    assert do(machine, "service.stop", unit=name).outcome is Outcome.UNCHANGED


def test_a_service_that_is_not_there_or_masked_is_refused(machine: SshHost) -> None:
    assert do(machine, "service.restart", unit="nothing").outcome is Outcome.REFUSED
    machine.run(("systemctl", "mask", "--runtime", "--", "masked.service"), seconds=10)
    for operation in ("service.start", "service.restart"):
        result = do(machine, operation, unit="masked")
        assert (result.outcome, "masked" in result.reason) == (Outcome.REFUSED, True)


def test_a_service_that_dies_is_not_up(machine: SshHost) -> None:
    name = unit(machine, "dies", "ExecStart=/bin/sh -c 'sleep 0.2; exit 3'")
    result = do(machine, "service.start", unit=name)
    assert (result.outcome, result.reason) == (
        Outcome.FAILED,
        "dies has failed (exit-code, status 3)",
    )


def test_a_restart_loop_never_counts_as_up(machine: SshHost) -> None:
    name = unit(
        machine,
        "loops",
        "ExecStart=/bin/sleep 0.3",
        "Restart=always",
        "RestartSec=50ms",
        "[Unit]",
        "StartLimitIntervalSec=0",
    )
    result = do(machine, "service.restart", unit=name, within=4)
    assert result.outcome is Outcome.TIMED_OUT
    assert "restart" in result.reason
    assert do(machine, "service.stop", unit=name).outcome is Outcome.DONE


def test_a_service_that_reached_its_start_limit_is_started(machine: SshHost) -> None:
    name = unit(machine, "limit", "ExecStart=/bin/sh -c 'test -e /run/mended && sleep 1000'")
    for _ in range(8):
        machine.run(("systemctl", "start", name), seconds=10)
    machine.write("/run/mended", b"")
    assert do(machine, "service.start", unit=name).outcome is Outcome.DONE


@pytest.mark.parametrize("operation", ["service.restart", "service.stop"])
def test_a_stopped_process_does_not_hold_up_recovery(machine: SshHost, operation: str) -> None:
    name = unit(machine, f"stopped-{operation}", WELL)
    assert do(machine, "service.start", unit=name).outcome is Outcome.DONE
    machine.run(("systemctl", "kill", "-s", "STOP", "--", name), seconds=10)
    assert do(machine, operation, unit=name).outcome is Outcome.DONE


@pytest.mark.parametrize("operation", ["service.restart", "service.stop"])
def test_a_process_that_ignores_its_end_is_killed(machine: SshHost, operation: str) -> None:
    name = unit(
        machine,
        f"stubborn-{operation}",
        "ExecStart=/bin/sh -c 'trap \"\" TERM; while :; do sleep 0.1; done'",
        "TimeoutStopSec=infinity",
    )
    assert do(machine, "service.start", unit=name).outcome is Outcome.DONE
    begun = time.monotonic()
    assert do(machine, operation, unit=name, stop_seconds=1).outcome is Outcome.DONE
    assert time.monotonic() - begun < 30, "systemd alone would wait for ever"


def test_a_slow_start_is_waited_for(machine: SshHost) -> None:
    name = unit(machine, "slow", "ExecStartPre=/bin/sleep 2", WELL)
    assert do(machine, "service.restart", unit=name, stop_seconds=0.5).outcome is Outcome.DONE


def test_a_diagnosis_keeps_the_end_of_the_journal(machine: SshHost) -> None:
    name = unit(machine, "speaks", "ExecStart=/bin/echo hello from here", "Type=oneshot")
    machine.run(("systemctl", "start", name), seconds=10)
    assert "hello from here" in do(machine, "journal.tail", unit=name, lines=20).detail
    assert (
        do(machine, "service.status", unit=name).reason == "speaks is not running: inactive (dead)"
    )


def test_stray_processes_are_ended_and_nobody_else(machine: SshHost) -> None:
    unit(machine, "stray", "ExecStart=/bin/sh -c 'trap \"\" TERM; while :; do sleep 0.1; done'")
    machine.run(("systemctl", "start", "stray"), seconds=10)
    # The pattern also matches the way in which it is asked: the shells that SSH started.
    found = do(machine, "process.list", process="sh -c|ssh")
    assert "trap" in found.detail
    result = do(machine, "process.stop", process="sh -c 'trap|sh -c trap", stop_seconds=0.5)
    assert result.outcome is Outcome.DONE
    assert machine.run(("true",), seconds=10).ok


def test_with_sudo_an_ordinary_user_does_what_root_may(lab: labs.Lab) -> None:
    with logged_in(lab, "autobot", sudo=True) as host:
        assert host.run(("id", "-un"), seconds=10).out == "root\n"
        host.write("/root/a file", b"kept", mode=0o600)
        assert host.read("/root/a file") == "kept"
        assert host.run(("sleep", "61.5"), seconds=0.3).exit_code is None
        assert host.run(("pgrep", "-f", "^sleep 61.5$"), seconds=10).exit_code == 1


def test_a_command_runs_as_the_user_that_is_named(machine: SshHost) -> None:
    ran = machine.run(("sh", "-c", "id -un; echo $HOME"), seconds=10, user="autobot")
    assert ran.out == "autobot\n/home/autobot\n"


def test_a_machine_that_boots_itself_anew_is_judged_after_the_boot(
    lab: labs.Lab, machine: SshHost
) -> None:
    """As its agent would: the step ends in the middle, and the order is looked at afterwards."""
    restart = operations()["machine.restart"]
    before: dict[str, Json] = {"boot": restart.look(machine, None).boot}
    restart.act(machine, restart.arguments(agent_unit="no-agent-here"), Tell(print))
    rig.wait_for("its way down", lambda: lab.power_of("npu") == "off")
    # systemd-nspawn leaves the second half of a reboot to whoever started it.
    lab.power("start", "npu")
    lab.wait_booted(["npu"])
    # The old connection is noticed to be dead, and the new one is made from the lab's network.
    with inside(f"/run/netns/{lab.plan['namespace']}"), contextlib.suppress(HostFault):
        machine.run(("true",), seconds=10)
    with inside(f"/run/netns/{lab.plan['namespace']}"):
        result = reconsider(machine, restart, {}, before, ends=machine.now() + 30)
    assert result.outcome is Outcome.DONE, result.reason
