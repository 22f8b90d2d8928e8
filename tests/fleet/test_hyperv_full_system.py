"""Scenario 7 through PowerShell remoting onto six real systemd machines: the order of starts from
the Hyper-V host's own log, against the graph of what needs what."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
import yaml

from deploy.lab import lab as labs
from deploy.lab.stage import Theatre
from tests.hyperv.on_lab import hyperv_over
from tests.hyperv.server import HyperV

pytestmark = [pytest.mark.timeout(600), pytest.mark.long]


@dataclass
class Stage:
    theatre: Theatre
    host: HyperV

    def recover(self, scenario: str) -> tuple[int, Mapping[str, Any]]:
        self.host.wsman.asked.clear()
        done = self.theatre.call(*self.theatre.command("recover", scenario, "--json"))
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    def starts(self) -> list[tuple[float, str]]:
        """When the host was told to start which machine of the lab."""
        names = {each.vm: name for name, each in self.theatre.lab.machines.items()}
        log = self.host.wsman.asked
        return [(at, names[given["Name"]]) for at, name, given in log if name == "Start-VM"]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Every machine off, and nothing started yet."""
    if reason := labs.why_not("nspawn"):
        pytest.skip(f"no lab of real machines here: {reason}")
    place = tmp_path_factory.mktemp("hyperv-fleet")
    lab = labs.prepare("nspawn", place / "lab")
    try:
        with hyperv_over(lab, place / "hyperv") as (host, fleet):
            theatre = Theatre(lab, place / "home")
            (theatre.home / "fleet.yaml").write_text(yaml.safe_dump(fleet, sort_keys=False))
            with theatre.up():
                yield Stage(theatre, host)
    finally:
        lab.down()


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def peers(needs: Mapping[str, Collection[str]]) -> list[list[str]]:
    """Machines that wait for the same, where there are several."""
    groups: dict[frozenset[str], list[str]] = {}
    for name, need in needs.items():
        groups.setdefault(frozenset(need), []).append(name)
    return [names for names in groups.values() if len(names) > 1]


def test_a_complete_failure_is_recovered_through_hyper_v_in_the_order_of_needs(
    stage: Stage,
) -> None:
    code, run = stage.recover("full-system")
    assert (code, run["state"]) == (0, "resolved"), json.dumps(run, indent=1)
    starts = stage.starts()
    assert Counter(name for _, name in starts) == dict.fromkeys(stage.theatre.lab.machines, 1)
    started = {name: at for at, name in starts}
    served = {
        each["machine"]: moment(each["ended_at"])
        for each in run["steps"]
        if each["operation"] == "service.start"
    }
    needs = stage.theatre.needs()
    assert [len(names) for names in peers(needs)] == [4]
    for machine in started:
        for need in needs[machine]:
            assert served[need] < started[machine], f"{machine} before {need} was back"
    # Side by side: one after another, they would add up to the time from first to last.
    for names in peers(needs):
        together = sum(served[name] - started[name] for name in names)
        span = max(served[name] for name in names) - min(started[name] for name in names)
        assert together > 1.2 * span, f"{names} were started one after another"
    assert all(each.boots == 1 for each in stage.host.machines)


def test_a_machine_that_lost_its_power_is_restarted_by_the_second_rung(stage: Stage) -> None:
    stage.theatre.lab.break_("machine-off", "redis")
    code, run = stage.recover("redis")
    assert (code, run["state"]) == (0, "resolved"), json.dumps(run, indent=1)
    outcomes = {each["operation"]: each["outcome"] for each in run["steps"]}
    assert outcomes["vm.restart"] == "done"
    assert [name for _, name in stage.starts()] == ["redis"]


def test_the_control_machine_holds_no_more_shells_than_it_has_processes(stage: Stage) -> None:
    assert len(stage.host.wsman.shells) <= 8
    assert set(stage.host.attempts) == {True}
