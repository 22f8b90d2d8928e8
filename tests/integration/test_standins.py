"""Eyes in the place of silent agents, through a real sshd for each machine."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from orchestrator.core.health import Use, Watch
from orchestrator.core.policy import Rules
from orchestrator.core.sight import Condition
from orchestrator.overseer import Overseer
from orchestrator.standins import StandIns
from tasks.contract import Kind
from tests.integration.far import FarMachines
from tests.integration.test_direct import STEPS, far

__all__ = ["far"]

WATCHES = tuple(
    Watch(
        f"on-{name}/unit",
        Use.UNIT,
        f"on-{name}",
        name,
        "systemd",
        {"unit": f"{name}.service"},
        vantage=name,
    )
    for name in ("one", "two")
)


def looked(far: FarMachines, *, heard: tuple[str, ...] = ()) -> Overseer:
    """After the stand-ins looked once, and the overseer after them."""
    overseer = Overseer(far.coordinator(far.plan(STEPS)), WATCHES, Rules())
    overseer.hearing(0.0)
    for machine in heard:
        overseer.heard(machine, time.time(), {})
    with ThreadPoolExecutor(4) as pool:
        StandIns(far.inventory, overseer, WATCHES).look(pool)
    overseer.tick()
    return overseer


def standings(overseer: Overseer) -> dict[str, Kind | None]:
    assert overseer.view is not None
    return {name: each.kind for name, each in overseer.view.standings.items()}


def conditions(overseer: Overseer) -> dict[str, Condition]:
    assert overseer.view is not None
    return {name: each.condition for name, each in overseer.view.picture.machines.items()}


def test_a_silent_machine_is_looked_at_over_ssh_and_one_that_is_heard_is_not(
    far: FarMachines,
) -> None:
    (far.units("one") / "one.service.dead").touch()
    seen = looked(far, heard=("two",))
    assert standings(seen) == {"on-one/unit": Kind.BAD}
    assert conditions(seen)["one"] is Condition.AGENTLESS
    assert conditions(seen)["two"] is Condition.UP


def test_that_nobody_is_let_in_says_nothing_of_the_services(far: FarMachines) -> None:
    (far.doors["one"].home / "known_hosts").write_text("")
    seen = looked(far)
    assert standings(seen) == {"on-two/unit": Kind.GOOD}


def test_all_are_looked_at_once_nobody_was_heard_for_long(far: FarMachines) -> None:
    overseer = looked(far)
    overseer.hearing(None)
    assert set(overseer.unheard(10.0)) == {"one", "two", "control"}
    overseer.heard("one", time.time(), {})
    assert set(overseer.unheard(10.0)) == {"two", "control"}
