"""What comes to the coordinator's queue from who knows whom: tasks called by their wire names."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import pytest
from celery import Celery

from tasks.contract import Json, Outcome
from tasks.signing import private_key, sign
from tests.web.world import World, a_world
from workers.inbox import register


@pytest.fixture
def world() -> Iterator[World]:
    with a_world() as made:
        yield made


def call(world: World, task: str, **arguments: Json) -> None:
    app = Celery(set_as_current=False)
    register(app, world.coordinator)
    app.tasks[f"orchestrator.{task}"](**arguments)


def begun(world: World) -> str:
    """A run whose only step is done, so that a look from outside would decide it."""
    run = world.coordinator.recover("restart", reason="a test").run
    for order in world.orders():
        world.report(order, Outcome.DONE, "active")
    return run


@pytest.mark.parametrize(("rung", "branch"), [(0, 1), (1, 0), (0, -1), (-1, 0), (10**9, 0)])
def test_a_check_of_a_branch_that_does_not_exist_is_ignored(
    world: World, rung: int, branch: int
) -> None:
    run = begun(world)
    before = world.store.load(run)
    call(world, "status_check", run=run, rung=rung, branch=branch, seconds=1.0)
    assert world.store.load(run) == before


def test_a_check_of_an_unknown_run_is_ignored(world: World) -> None:
    call(world, "status_check", run="nobody", rung=0, branch=0, seconds=1.0)
    assert world.store.load("nobody") is None


def test_a_signed_report_with_a_time_that_is_no_number_is_ignored(world: World) -> None:
    run = begun(world)
    (report,) = world.store.reports(run)
    odd = replace(report, ended_at=math.nan)
    call(world, "report", report=sign(odd, private_key(world.keys["one"][0])).to_wire())
    assert list(world.store.reports(run)) == [report]
