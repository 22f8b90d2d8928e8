"""`backup list`, `show`, `restore --at` and `status` of a Redis that is captured continuously."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest

from tasks.contract import Outcome
from tests.cli.conftest import Run
from tests.integration.rig import wait_for
from tests.web.captured import a_captured_world
from tests.web.world import World


@pytest.fixture
def world() -> Iterator[World]:
    with a_captured_world() as made:
        yield made


def test_the_seconds_that_can_be_had_are_listed(online: Run) -> None:
    listed = online("backup", "list")
    assert listed.returncode == 0, listed.stderr
    (line, older) = [each for each in listed.stdout.splitlines() if "history-00" in each]
    assert line.split()[:4] == ["all", "following", "0.8", "s"]
    assert "2001-09-09 01:46:40Z  2001-09-09 01:36:40Z" in line
    assert older.split()[-1] == "history-000001-x"
    shown = online("backup", "show", "all").stdout
    assert "ANY SECOND FROM" in shown
    assert "last fault, at 2001-09-09 01:45:10Z: the link was cut" in shown
    assert json.loads(online("backup", "show", "all", "--json").stdout)["lag_bytes"] == 12
    assert len(json.loads(online("backup", "list", "--json").stdout)["captures"]) == 1
    assert "following" in online("status").stdout


def test_a_dry_run_asks_the_vault_and_changes_nothing(world: World, online: Run) -> None:
    def agent() -> None:
        wait_for("an order", lambda: bool(world.orders()))
        (order,) = world.orders()
        world.report(order, Outcome.DONE, "base and 3 segments", detail="/all/captured/base.rdb")
        world.coordinator.check(order.run, 0, 0, 0.0)

    acting = threading.Thread(target=agent)
    acting.start()
    ran = online("backup", "restore", "--at", "2001-09-09T01:40:00Z", "--dry-run")
    acting.join()
    assert ran.returncode == 0, ran.stderr
    assert "DRY RUN" in ran.stdout
    for said in ("redis.cut", "redis.restore", "base and 3 segments", "/all/captured/base.rdb"):
        assert said in ran.stdout, said
    assert [each.operation for each in world.orders()] == ["redis.covers"]


def test_a_restore_to_a_second_asks_first(world: World, online: Run) -> None:
    refused = online("backup", "restore", "all", "--at", "2001-09-09T01:40:00Z")
    assert "2001-09-09 01:40:00Z" in refused.stderr
    assert world.orders() == []
    begun = online(
        *("backup", "restore", "all", "--at", "2001-09-09 01:40:00", "--yes", "--no-wait")
    )
    assert begun.returncode == 0, begun.stderr
    assert world.orders()[0].arguments["at"] == 999_999_600
    assert online("backup", "restore").returncode == 2
    world.carry_on()
    world.carry_on()  # the new backup after it
    last = online("backup", "restore", "--at", "last", "--yes", "--no-wait")
    assert last.returncode == 0, last.stderr
    assert "at" not in world.orders()[-3].arguments
    assert world.orders()[-3].operation == "redis.cut"
    bad = online("backup", "restore", "--at", "noon")
    assert (bad.returncode, "14:03:20" in bad.stderr) == (2, True)
