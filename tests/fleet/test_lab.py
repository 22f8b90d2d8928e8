"""The practice fleet itself: it boots, breaks as told, and mends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.lab import LabFault, faults
from deploy.lab import lab as labs
from deploy.lab.lab import Lab
from deploy.lab.machines import NETWORK, MachineDefinition
from deploy.lab.powering import gone
from tasks.host import LocalHost
from tests.fleet.looks import SERVICES, backend, eventually, health, on_real_machines, unit


def test_every_service_answers_at_the_seeds_address(lab: Lab) -> None:
    assert backend(lab) == "healthy"
    assert "<title>AutoBot" in health(lab, "frontend", 5173, "/")
    assert json.loads(health(lab, "npu", 8081))["worker_id"]
    assert "llama3.2:latest" in health(lab, "ai", 8080, "/api/tags")
    assert "browser_connected" in health(lab, "browser", 3000)


def test_boot_times_are_measured_by_the_machines_themselves(lab: Lab) -> None:
    lab.wait_booted()
    times = {each.machine: each for each in lab.boot_times()}
    assert set(times) == set(SERVICES)
    for machine, service in SERVICES.items():
        assert (times[machine].boot_s or 0) > 0
        assert times[machine].units[service] > 0


def test_a_crashed_service_stays_down_until_it_is_mended(lab: Lab) -> None:
    lab.break_("service-crash", "redis-stack-server")
    eventually(lambda: unit(lab, "redis"), "failed")
    eventually(lambda: backend(lab), "unhealthy")
    lab.mend()
    eventually(lambda: unit(lab, "redis"), "active")
    eventually(lambda: backend(lab), "healthy")


def test_a_hanging_service_is_active_and_silent(lab: Lab) -> None:
    lab.break_("service-hang", "npu/npu-worker")
    assert unit(lab, "npu") == "active"
    assert health(lab, "npu", 8081) == ""
    lab.mend("npu")
    eventually(lambda: bool(health(lab, "npu", 8081)), True)


def test_a_cut_cable_isolates_a_machine_that_goes_on_by_itself(lab: Lab) -> None:
    lab.break_("network-cut", "frontend")
    assert health(lab, "frontend", 5173) == ""
    assert unit(lab, "frontend") == "active"
    assert [each.name for each in lab.status() if each.cut] == ["frontend"]
    lab.mend()
    eventually(lambda: bool(health(lab, "frontend", 5173)), True)


def test_what_the_machine_keeps_survives_power_loss_and_the_rest_does_not(lab: Lab) -> None:
    lab.configure_agent("npu", {"NAME": 'a "quoted" $value'}, {"key": "secret"})
    lab.break_("machine-off", "npu")
    assert lab.power_of("npu") == "off"
    assert health(lab, "npu", 8081) == ""
    lab.mend()
    lab.wait_booted(["npu"])
    assert unit(lab, "npu") == "inactive"
    assert lab.inside("npu", ["cat", lab.path_inside("npu", "key")]).out == "secret"
    assert (lab.kept("npu") / "agent.env").stat().st_mode & 0o777 == 0o600
    assert lab.inside("npu", ["systemctl", "start", "--", "npu-worker"]).ok


def test_everything_down_takes_every_machine_down_and_mending_powers_all(lab: Lab) -> None:
    lab.break_("everything-down")
    assert {each.power for each in lab.status()} == {"off"}
    assert faults.known(lab)
    lab.mend()
    assert {each.power for each in lab.status()} == {"running"}
    assert faults.known(lab) == []


@pytest.mark.parametrize("target", ["", "nowhere", "redis/ollama", "autobot-agent"])
def test_a_target_that_is_not_one_service_lists_those_that_are(lab: Lab, target: str) -> None:
    with pytest.raises(LabFault, match=r"redis/(redis-stack-server|autobot-agent)"):
        lab.break_("service-crash", target)


def test_an_unknown_kind_of_fault_lists_the_known(lab: Lab) -> None:
    with pytest.raises(LabFault, match="network-cut"):
        lab.break_("meteor", "redis")


SMALL = (MachineDefinition("npu", f"{NETWORK}.22", "AutoBot-NPU", ("npu-worker",)),)


@pytest.fixture(params=labs.drivers())
def driver(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if reason := labs.why_not(name):
        pytest.skip(f"the {name} lab: {reason}")
    return name


def test_two_labs_live_side_by_side(driver: str, tmp_path: Path) -> None:
    made = [labs.prepare(driver, tmp_path / name, SMALL) for name in ("one", "two")]
    try:
        for each in made:
            each.power_all("start")
            each.wait_booted()
            assert each.inside("npu", ["systemctl", "start", "--", "npu-worker"]).ok
            assert health(each, "npu", 8081)
        made[0].break_("everything-down")
        assert health(made[0], "npu", 8081) == ""
        assert health(made[1], "npu", 8081)
    finally:
        for each in made:
            each.down()


def test_a_lab_left_by_a_killed_run_is_cleared_by_the_next(driver: str, tmp_path: Path) -> None:
    left = labs.prepare(driver, tmp_path, SMALL)
    left.power_all("start")
    old = left.machine("npu").pid()
    made = labs.prepare(driver, tmp_path, SMALL)
    try:
        assert made.power_of("npu") == "off"
        assert not Path(f"/proc/{old}/cmdline").exists() or gone(old, 5)
        made.power_all("start")
        assert made.power_of("npu") == "running"
    finally:
        made.down()
    with pytest.raises(LabFault, match="no lab here"):
        labs.find(tmp_path)


@on_real_machines
def test_a_machine_is_administered_over_ssh_as_the_seed_does(lab: Lab) -> None:
    lab.wait_booted()
    known = f"UserKnownHostsFile={lab.ssh_key.parent / 'known_hosts'}"
    ssh = ["ssh", "-i", str(lab.ssh_key), "-o", known, f"autobot@{lab.address('redis')}"]
    said = LocalHost().run([*lab.prefix(), *ssh, "hostname; sudo -n whoami"], seconds=20)
    assert said.out.split() == ["redis", "root"], said
