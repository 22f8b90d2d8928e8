"""Being let in by a Hyper-V host, and the shells that it holds for us: certificates, passwords,
quota, restarts. One test for each thing that goes wrong.
"""

from __future__ import annotations

import datetime
import json
import logging
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tasks.host import LocalHost
from tasks.hypervisors import Hypervisor, Power, connect
from tasks.hypervisors._hyperv_pool import SHELF, Deadline, Pool, Shelf
from tasks.hypervisors._hyperv_settings import read_settings
from tests.contracts.hypervisors import (
    VM,
    fault_of,
    order_starts,
    settings_file,
    wait_until,
)
from tests.hyperv.certificates import Authority
from tests.hyperv.server import PASSWORD, HyperV, ntlm_users, running_hyperv


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
        order_starts(at, 6)
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
    order_starts(at, 6)
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


def test_a_password_that_was_changed_at_the_host_is_shown_once_by_six_machines(
    tmp_path: Path, host: HyperV, at: str
) -> None:
    assert connect("hyperv", at, LocalHost()).state(VM) is Power.OFF
    SHELF.clear()
    note = tmp_path / "password.seen"
    long_ago = dict.fromkeys(json.loads(note.read_text()), -1.0)
    note.write_text(json.dumps(long_ago))
    host.password = "changed at the host"
    order_starts(at, 6)
    assert host.attempts.count(False) == 1


def test_a_password_that_was_changed_while_shells_were_kept_is_shown_once(
    host: HyperV, asked: Hypervisor, at: str
) -> None:
    settings = read_settings(at, LocalHost())
    pools = [Pool(settings, Deadline(10)) for _ in range(2)]
    for each in pools:
        each.open()
    for each in pools:
        SHELF.put(settings, each)
    host.password = "changed at the host"
    fault_of(lambda: asked.state(VM), "refused", retry=False)
    fault_of(lambda: asked.state(VM), "not tried again", retry=False)
    SHELF.clear()
    assert host.attempts.count(False) == 1
    host.wsman.forget()


def test_a_refused_password_stays_refused_however_long_ago_that_was(
    tmp_path: Path, host: HyperV, at: str
) -> None:
    """A later step, another rung, a run of next week: a domain may count for days."""
    host.password = "set on the host, and not here"
    fault_of(lambda: connect("hyperv", at, LocalHost()).state(VM), "refused", retry=False)
    note = tmp_path / "password.seen"
    week_ago = {digest: when - 7 * 86400 for digest, when in json.loads(note.read_text()).items()}
    note.write_text(json.dumps(week_ago))
    fault_of(lambda: connect("hyperv", at, LocalHost()).start(VM), "not tried again", retry=False)
    assert host.attempts == [False]


def test_a_password_of_the_environment_is_shown_once_by_all_processes_of_the_agent(
    tmp_path: Path, host: HyperV, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = settings_file(tmp_path, host, ca_file=authority.file, password_file="")
    monkeypatch.setenv("AUTOBOT_DR_HYPERV_PASSWORD", "wrong")
    monkeypatch.setenv("AUTOBOT_DR_STATE", str(tmp_path))
    asks = (
        "import sys; from tasks.host import LocalHost; from tasks.hypervisors import connect; "
        "connect('hyperv', sys.argv[1], LocalHost()).state(sys.argv[2])"
    )
    for _ in range(2):
        argv = [sys.executable, "-c", asks, at, VM]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
        assert "refused" in done.stderr
    assert host.attempts == [False]


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
