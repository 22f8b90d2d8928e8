"""A fleet that names its own broker has a runbook for it; one that does not is not asked for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from orchestrator.config import Configuration, load
from orchestrator.setup import SHIPPED


def loaded(tmp_path: Path, **changes: Any) -> Configuration | tuple[Any, ...]:
    fleet = yaml.safe_load((SHIPPED / "fleet.yaml").read_text())
    fleet["machines"]["queue"] = {"address": "172.16.168.26", "vm": "Queue", "hypervisor": "hyperv"}
    fleet["services"] |= changes.pop("services", {})
    (tmp_path / "fleet.yaml").write_text(yaml.safe_dump({**fleet, **changes}, sort_keys=False))
    return load(tmp_path / "fleet.yaml", SHIPPED / "runbooks")


BROKER = {"machine": "queue", "unit": "valkey", "port": 6379, "check": {"probe": "redis"}}


def test_the_shipped_runbook_fits_a_broker_of_the_fleet(tmp_path: Path) -> None:
    found = loaded(tmp_path, broker="broker", services={"broker": BROKER})
    assert isinstance(found, Configuration), found
    assert found.fleet.broker == "broker"
    first, second = found.plans["broker"].rungs
    assert [each.operation for each in first.branches[0].steps][2:] == [
        "redis.mend",
        "redis.repair_log",
        "service.restart",
        "redis.ping",
    ]
    assert second.branches[0].steps[0].operation == "vm.restart"


def test_without_one_there_is_no_such_scenario(tmp_path: Path) -> None:
    found = loaded(tmp_path)
    assert isinstance(found, Configuration), found
    assert "broker" not in found.plans
    assert "broker" not in found.scenarios


def test_a_broker_that_is_no_service_is_a_fault(tmp_path: Path) -> None:
    found = loaded(tmp_path, broker="brocker", services={"broker": BROKER})
    assert isinstance(found, tuple)
    (said,) = [str(each) for each in found if "brocker" in str(each)]
    assert "broker: 'brocker' is not a service here (known: redis, ollama," in said
