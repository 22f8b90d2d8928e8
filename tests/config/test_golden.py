"""The shipped fleet and runbooks: each scenario's compiled plan, as text that a person can read.

A change of fleet.yaml or a runbook shows here as a change of a plan. To take new plans over:
    AUTOBOT_DR_WRITE_GOLDEN=1 pytest tests/config/test_golden.py
and read the difference.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.config import Configuration, load
from orchestrator.core.fleet import Approval
from orchestrator.core.plan import Branch, Plan, PlannedRung
from orchestrator.setup import SHIPPED
from tests.config.small import sentences

GOLDEN = Path(__file__).parent / "golden"
SCENARIOS = ["ai-stack", "backend", "browser", "frontend", "full-system", "npu-worker", "redis"]


@pytest.fixture(scope="module")
def shipped() -> Configuration:
    found = load(SHIPPED / "fleet.yaml", SHIPPED / "runbooks")
    assert isinstance(found, Configuration), [str(each) for each in found]
    return found


def lines(plan: Plan) -> Iterator[str]:
    for number, rung in enumerate(plan.rungs, 1):
        yield f"rung {number}: {rung.title} ({rung.approval})"
        for count, wave in enumerate(rung.waves, 1):
            yield f"  wave {count}"
            for branch in wave:
                yield from branch_lines(branch, rung)


def branch_lines(branch: Branch, rung: PlannedRung) -> Iterator[str]:
    yield f"    {branch.name}{' (optional)' if branch.optional else ''}"
    for word, others in (("needs", branch.needs), ("awaits", branch.awaits)):
        if others:
            yield f"      {word} {', '.join(rung.branches[each].name for each in others)}"
    for step in branch.steps:
        target = step.machine if step.agent == step.machine else f"{step.machine} by {step.agent}"
        yield f"      {step.number} {step.operation} on {target}, {step.seconds:g} s"
        for name, value in step.arguments.items():
            yield f"          {name}: {json.dumps(value)}"
    noted = [name for name in branch.checks if name not in branch.required]
    yield f"      then {', '.join(branch.required)} healthy within {branch.check_seconds:g} s"
    if noted:
        yield f"      noted: {', '.join(noted)}"


def test_the_shipped_scenarios(shipped: Configuration) -> None:
    assert sorted(shipped.plans) == SCENARIOS


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_plan_is_the_golden_one(shipped: Configuration, scenario: str) -> None:
    text = "\n".join(lines(shipped.plans[scenario])) + "\n"
    golden = GOLDEN / f"{scenario}.txt"
    if os.environ.get("AUTOBOT_DR_WRITE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


def test_what_the_shipped_files_warn_of(shipped: Configuration) -> None:
    """Contacts and who opens the kit are for the owner to fill in; nothing else."""
    told = sentences(shipped, SHIPPED)
    drivers = [each for each in told if "no driver" in each]
    assert len(drivers) <= 1
    kit = [each for each in told if ", kit" in each]
    assert len(kit) == 2
    assert sorted(told) == sorted(drivers + kit)
    assert ["cannot be called" in str(each) for each in shipped.uncallable] == [True] * 3
    seed = [("Primary On-Call", 0.0), ("Secondary On-Call", 900.0), ("Infrastructure Lead", 1800.0)]
    assert [(each.role, each.after_s) for each in shipped.inventory.contacts] == seed


def test_redis_comes_first_and_the_frontend_last(shipped: Configuration) -> None:
    waves = shipped.plans["full-system"].rungs[0].waves
    assert [sorted(branch.name for branch in wave) for wave in waves] == [
        ["redis"],
        ["ai", "backend", "browser", "npu"],
        ["frontend"],
        ["everything"],
    ]


def test_a_restore_waits_for_a_person(shipped: Configuration) -> None:
    asking = [rung for rung in shipped.plans["redis"].rungs if rung.approval is Approval.ASK]
    steps = [step.operation for rung in asking for step in rung.waves[0][0].steps]
    assert steps == ["redis.restore"]
