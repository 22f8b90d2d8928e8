"""Two real machines under watch, one of them our own broker's: whoever is out of reach, the other
ways are taken without a person being asked, and who is only cut off is not power-cycled."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from deploy.lab import lab as labs
from deploy.lab.lab import Lab
from deploy.lab.machines import AGENT, AUTOBOT, NETWORK, MachineDefinition
from deploy.lab.stage import Theatre, fitted
from orchestrator.setup import SHIPPED
from tests.integration.rig import wait_for

pytestmark = pytest.mark.timeout(300)

UNIT, DATA = "redis-stack-server", "/var/lib/redis-stack"
BROKER = MachineDefinition("broker", f"{NETWORK}.26", "AutoBot-Broker", (UNIT,), keeps=(DATA,))
MACHINES = (AUTOBOT[0], BROKER)
OVER = ("resolved", "closed")


def fleet_file(lab: Lab) -> dict[str, Any]:
    """Redis, the broker, and nothing else."""
    fleet = fitted(lab)
    keep = {"control": fleet["machines"]["control"], "redis": fleet["machines"]["redis"]}
    of_redis = {k: v for k, v in keep["redis"].items() if k != "role"}
    own = {**of_redis, "address": lab.address("broker"), "vm": BROKER.vm}
    # A fleet file has no aliases, which the same value twice would become.
    own["settings"] = dict(own["settings"])
    check = {"unit": UNIT, "port": 6379, "check": {"probe": "redis"}}
    redis = fleet["services"]["redis"]
    return {
        **{k: v for k, v in fleet.items() if k != "backups"},
        "broker": "broker",
        "machines": {**keep, "broker": own},
        "services": {"redis": redis, "broker": {"machine": "broker", **check}},
        "thresholds": {},
        "watch": {"interval": "2 s", "timeout": "2 s", "bad": 2, "of": 3, "good": 2},
        "recovery": {"attempts": 5, "settle": "5 s", "backoff": "1 s"},
    }


@pytest.fixture(scope="module")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theatre]:
    if reason := labs.why_not("nspawn"):
        pytest.skip(f"no lab of real machines here: {reason}")
    place = tmp_path_factory.mktemp("broker")
    lab = labs.prepare("nspawn", place / "lab", MACHINES)
    try:
        books = place / "home" / "runbooks"
        books.mkdir(parents=True)
        for name in ("redis", "broker"):
            shutil.copy(SHIPPED / "runbooks" / f"{name}.yaml", books)
        url = {"AUTOBOT_DR_BROKER_URL": f"redis://{lab.address('broker')}:6379/0"}
        theatre = Theatre(lab, place / "home", fleet_file(lab), url)
        lab.power_all("start")
        lab.wait_booted()
        for machine in ("broker", "redis"):
            assert lab.inside(machine, ["systemctl", "start", UNIT]).ok
        with theatre.up():
            for machine in ("broker", "redis"):
                assert lab.inside(machine, ["systemctl", "restart", AGENT]).ok
            wait_for("the agents", lambda: all_heard(theatre), seconds=60, pause=0.5)
            yield theatre
    finally:
        lab.down()


def conditions(theatre: Theatre) -> dict[str, str]:
    told = json.loads(theatre.call(*theatre.command("status", "--json")).stdout)
    return {str(each["name"]): str(each["condition"]) for each in told["machines"]}


def all_heard(theatre: Theatre) -> bool:
    return set(conditions(theatre).values()) == {"up"}


def crash(lab: Lab) -> None:
    lab.break_("service-crash", "broker")


def damage(lab: Lab) -> None:
    """Its log ends in garbage, with which it does not start."""
    log = f"{DATA}/appendonlydir/appendonly.aof.1.incr.aof"
    assert lab.inside("broker", ["sh", "-c", f"printf 'garbage\\r\\n' >> {log}"]).ok
    lab.break_("service-crash", "broker")


def lose_power(lab: Lab) -> None:
    lab.power("kill", "broker")


@pytest.mark.parametrize(
    ("failure", "operation"),
    [
        (crash, "service.restart"),
        (damage, "redis.repair_log"),
        pytest.param(lose_power, "vm.restart", marks=pytest.mark.long),
    ],
)
def test_the_broker_is_brought_back_without_itself(
    theatre: Theatre, failure: Any, operation: str
) -> None:
    before = {each["id"] for each in incidents(theatre)}
    failure(theatre.lab)
    run = resolved(theatre, "broker", before)
    acted = {each["operation"]: each for each in run["steps"] if each["outcome"] == "done"}
    assert operation in acted
    ways = [each["text"] for each in run["timeline"] if each["kind"] == "way"]
    assert any("over SSH: it is about our own broker" in each for each in ways), ways
    theatre.lab.mend()
    wait_for("the agents", lambda: all_heard(theatre), seconds=60, pause=0.5)
    assert theatre.call(*theatre.command("recover", "redis")).returncode == 0
    last = theatre.ask("run", "show", theatre.ask("run", "list")["runs"][0]["id"])
    assert [each["text"] for each in last["timeline"] if each["kind"] == "way"] == []
    wait_for("peace", lambda: closed(theatre), seconds=60, pause=0.5)


def incidents(theatre: Theatre) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = theatre.ask("incident", "list", "--limit", "50")["incidents"]
    return found


def closed(theatre: Theatre) -> bool:
    return all(each["state"] == "closed" for each in incidents(theatre))


def test_its_damaged_log_is_kept(theatre: Theatre) -> None:
    kept = Path(theatre.lab.home, "kept", "broker", DATA.strip("/").replace("/", "-"))
    (copy,) = kept.glob("appendonlydir.damaged-*")
    assert b"garbage" in (copy / "appendonly.aof.1.incr.aof").read_bytes()


def test_a_dead_agent_on_a_full_disk_is_done_without_and_nobody_is_asked(theatre: Theatre) -> None:
    lab, state = theatre.lab, theatre.lab.path_inside("redis", "state")
    for argv in (
        ["systemctl", "stop", AGENT],
        ["mount", "-t", "tmpfs", "-o", "size=48m", "none", state],
        ["systemctl", "start", AGENT],
    ):
        assert lab.inside("redis", argv).ok, argv
    # It lives, and has put its reserve aside; then somebody fills its disk.
    wait_for("its journal", lambda: lab.inside("redis", ["test", "-s", f"{state}/reserve"]).ok)
    lab.inside("redis", ["sh", "-c", f"head -c 60M /dev/zero > {state}/of-somebody-else"])
    assert lab.inside("redis", ["systemctl", "stop", AGENT]).ok
    wait_for(
        "its silence",
        lambda: conditions(theatre)["redis"] == "without agent",
        seconds=60,
        pause=0.5,
    )
    before = {each["id"] for each in incidents(theatre)}
    lab.break_("service-crash", "redis")
    run = resolved(theatre, "redis", before)
    assert not any("approval" in each["text"] for each in run["timeline"])
    ways = "\n".join(each["text"] for each in run["timeline"] if each["kind"] == "way")
    assert "over SSH: the agent of redis does not answer, its SSH server does" in ways
    assert "is full; the agent's reserve there, 8 MB, was given up" in ways
    assert f"its agent's unit {AGENT} was inactive (dead), and is being started over SSH" in ways
    for argv in (
        ["systemctl", "stop", AGENT],
        ["umount", "--lazy", state],
        ["systemctl", "start", AGENT],
    ):
        assert lab.inside("redis", argv).ok, argv
    lab.mend()
    wait_for("the agents", lambda: all_heard(theatre), seconds=60, pause=0.5)
    wait_for("peace", lambda: closed(theatre), seconds=60, pause=0.5)


def test_a_machine_that_is_cut_off_is_not_power_cycled_before_somebody_says_so(
    theatre: Theatre,
) -> None:
    boots = theatre.lab.machine("redis").told()["boots"]
    before = {each["id"] for each in incidents(theatre)}
    theatre.lab.break_("network-cut", "redis")
    found: list[Mapping[str, Any]] = []

    def asked() -> bool:
        found[:] = [each for each in incidents(theatre) if each["id"] not in before]
        return any(each["state"] == "awaiting_approval" for each in found)

    wait_for("somebody to be asked", asked, seconds=90, pause=0.5)
    assert conditions(theatre)["redis"] == "cut off"
    (incident,) = found
    assert "its hypervisor says that it runs, but its agent was not heard" in incident["reason"]
    assert "broker cannot reach it either" in incident["reason"]
    assert theatre.lab.machine("redis").told()["boots"] == boots
    theatre.lab.mend()
    wait_for("the agents", lambda: all_heard(theatre), seconds=60, pause=0.5)
    assert theatre.lab.machine("redis").told()["boots"] == boots


def resolved(theatre: Theatre, service: str, before: set[str]) -> Mapping[str, Any]:
    """The run of the one incident that is new, once it is resolved."""
    found: list[Mapping[str, Any]] = []

    def over() -> bool:
        found[:] = [each for each in incidents(theatre) if each["id"] not in before]
        return any(e["service"] == service and e["state"] in OVER for e in found)

    wait_for(f"the incident of {service} to be resolved", over, seconds=100, pause=0.5)
    assert [each["service"] for each in found] == [service]
    run: Mapping[str, Any] = theatre.ask("run", "show", found[0]["run"])
    return run
