"""Each fault of the practice fleet is real, is seen from outside, and is undone by mending."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from deploy.lab import LabFault, faults
from deploy.lab import lab as labs
from deploy.lab.lab import Lab
from tests.fleet.looks import (
    backend,
    eventually,
    get,
    health,
    on_real_machines,
    redis,
    shown,
    systemctl,
    unit,
)


@contextmanager
def cloud(lab: Lab) -> Iterator[str]:
    """Something that answers at the coordinator's own address."""
    address = {"LISTEN": lab.coordinator_address, "PORT": "8090", "PYTHONPATH": str(labs.HERE)}
    command = [*lab.prefix(), sys.executable, "-m", "standins.cloud"]
    child = subprocess.Popen(command, env={**os.environ, **address})
    try:
        yield f"http://{lab.coordinator_address}:8090/v1/models"
    finally:
        child.terminate()
        child.wait(10)


def test_a_service_in_a_crash_loop_is_started_again_and_again(lab: Lab) -> None:
    lab.break_("crash-loop", "npu", seconds=0.5)
    eventually(lambda: int(shown(lab, "npu", "NRestarts")) > 2, True)
    journal = lab.inside("npu", ["journalctl", "--unit=npu-worker", "--lines=30"])
    assert "fatal: out of file handles, giving up" in journal.out
    with pytest.raises(LabFault, match="only crash-loop"):
        lab.break_("service-stop", "npu", seconds=1)
    lab.mend()
    mended = shown(lab, "npu", "InvocationID")
    time.sleep(1.5)
    assert (unit(lab, "npu"), shown(lab, "npu", "InvocationID")) == ("active", mended)


def test_an_initialising_backend_answers_502_and_gets_ready_by_itself(lab: Lab) -> None:
    lab.break_("initialising", "backend", seconds=3)
    eventually(lambda: "502 Bad Gateway" in backend(lab), True)
    assert unit(lab, "backend") == "activating"
    eventually(lambda: (backend(lab), unit(lab, "backend")), ("healthy", "active"))
    lab.break_("initialising", "backend", seconds=300)
    lab.mend()
    assert backend(lab) == "healthy"


@pytest.mark.parametrize(
    ("kind", "answer"), [("unhealthy", "unhealthy"), ("wrong-answer", "<!doctype html>")]
)
def test_a_wrong_answer_lasts_until_a_restart(lab: Lab, kind: str, answer: str) -> None:
    for cure in (lambda: systemctl(lab, "backend", "restart"), lab.mend):
        lab.break_(kind, "backend")
        assert backend(lab).startswith(answer)
        cure()
        assert backend(lab) == "healthy"
    lab.mend()
    with pytest.raises(LabFault, match="not on redis-stack-server"):
        lab.break_(kind, "redis")


def test_a_changed_password_outlives_a_power_loss(lab: Lab) -> None:
    lab.break_("password-changed", "redis")
    assert redis(lab, "PING").startswith("-NOAUTH")
    with pytest.raises(LabFault, match="has password-changed"):
        lab.break_("loading", "redis")
    lab.power("kill", "redis")
    lab.power("start", "redis")
    lab.wait_booted(["redis"])
    assert systemctl(lab, "redis", "start").ok
    eventually(lambda: redis(lab, "PING")[:7], "-NOAUTH")
    lab.mend()
    assert redis(lab, "PING") == "PONG"


def test_a_loading_redis_says_so_until_it_has_loaded(lab: Lab) -> None:
    keys = redis(lab, "DBSIZE")
    lab.break_("loading", "redis", seconds=3)
    assert redis(lab, "PING").startswith("-LOADING")
    assert unit(lab, "redis") == {"nspawn": "activating", "process": "active"}[lab.driver]
    eventually(lambda: redis(lab, "PING"), "PONG")
    lab.break_("loading", "redis", seconds=120)
    assert redis(lab, "PING").startswith("-LOADING")
    lab.mend()
    assert (redis(lab, "PING"), redis(lab, "DBSIZE")) == ("PONG", keys)
    eventually(lambda: backend(lab), "healthy")


@on_real_machines
def test_on_a_full_disk_redis_reads_and_cannot_write(lab: Lab) -> None:
    assert redis(lab, "SET", "kept", "before") == "OK"
    lab.break_("disk-full", "redis")
    assert "No space left" in redis(lab, "PING")
    assert redis(lab, "GET", "kept") == "before"
    systemctl(lab, "redis", "kill", "--signal=KILL")
    eventually(lambda: unit(lab, "redis"), "failed")
    assert systemctl(lab, "redis", "start").ok
    eventually(lambda: "No space left" in redis(lab, "SET", "kept", "no"), True)
    assert lab.inside("redis", ["rm", "/var/lib/redis-stack/temp-4711.rdb"]).ok
    eventually(lambda: redis(lab, "SET", "kept", "after"), "OK")
    lab.mend()
    assert redis(lab, "GET", "kept") == "after"
    assert "lab-full-disk" not in lab.inside("redis", ["cat", "/proc/mounts"]).out


@on_real_machines
def test_redis_does_not_start_in_a_folder_that_is_not_its_own(lab: Lab) -> None:
    lab.break_("wrong-permissions", "redis")
    eventually(lambda: unit(lab, "redis"), "failed")
    assert not systemctl(lab, "redis", "start").ok
    journal = lab.inside("redis", ["journalctl", "--unit=redis-stack-server", "--lines=9"])
    assert "Permission denied" in journal.out
    lab.mend()
    assert redis(lab, "GET", "kept") == "after"


@on_real_machines
def test_half_the_fleet_is_cut_from_the_coordinator_alone(lab: Lab) -> None:
    lab.break_("half-cut", "npu,frontend")
    for gone_from_here in (("npu", 8081), ("frontend", 5173)):
        assert health(lab, *gone_from_here) == ""
        for machine in ("backend", "npu", "frontend"):
            assert health(lab, *gone_from_here, near=machine) != ""
    assert backend(lab) == "healthy"
    lab.mend("npu")
    # A search for its address that began while it was cut may still have to fail.
    eventually(lambda: bool(health(lab, "npu", 8081)), True)
    assert health(lab, "frontend", 5173) == ""
    lab.mend()
    eventually(lambda: bool(health(lab, "frontend", 5173)), True)


@on_real_machines
def test_a_coordinator_without_a_cable_reaches_itself_and_the_power(lab: Lab) -> None:
    with cloud(lab) as url:
        eventually(lambda: get(lab, url, near="npu") != "", True)
        lab.break_("coordinator-cut")
        assert get(lab, url, near="npu") == ""
        assert get(lab, url) != ""
        assert health(lab, "npu", 8081) == ""
        assert health(lab, "npu", 8081, near="backend") != ""
        assert lab.power_of("npu") == "running"
        lab.mend("coordinator")
        eventually(lambda: get(lab, url, near="npu") != "", True)


@pytest.mark.parametrize("lab", ["process"], indirect=True)
@pytest.mark.parametrize("kind", ["disk-full", "wrong-permissions", "half-cut", "coordinator-cut"])
def test_what_a_process_lab_cannot_break_it_refuses_with_the_reason(lab: Lab, kind: str) -> None:
    with pytest.raises(LabFault, match=f"{kind} cannot be made in the process lab: .*"):
        lab.break_(kind, "redis")
    assert faults.known(lab) == []
