"""The whole control machine is lost in the middle of a recovery, and nobody is told: the second
one ends the run, and the first does nothing twice when it is back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from deploy.lab import lab as labs
from orchestrator.core.incident import State
from tests.cold.pair import Pair, a_pair
from tests.integration.rig import wait_for
from tests.sweeps.kills import SETTLE_SECONDS, await_step, steps

pytestmark = [pytest.mark.timeout(900), pytest.mark.long]

#: What is promised: so long after the loss another decides.
PROMISED_SECONDS = 15
#: Of the steps of the lost machine's own agent, which has to be silent for 15 s to count as dead.
OWN_STEPS_SECONDS = 25


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    if reason := labs.why_not("nspawn"):
        pytest.skip(f"no lab of real machines here: {reason}")
    with a_pair(tmp_path_factory.mktemp("pair")) as made:
        made.first.start()
        made.second.start()
        with made.left_alone():
            yield made


@pytest.mark.parametrize(
    ("operation", "machine"),
    [
        ("vm.start", "redis"),
        ("machine.ready", "redis"),
        ("service.start", "redis"),
        ("vm.start", "backend"),
        ("machine.reachable", "frontend"),
    ],
)
def test_the_second_control_machine_ends_the_run(
    pair: Pair, operation: str, machine: str, record_property: Callable[[str, object], None]
) -> None:
    pair.led_by_the_first()
    pair.lab.power_all("kill", list(pair.units))
    boots = pair.boots()
    run = str(pair.call("recover", "full-system", "--no-wait")["id"])
    step = next(e for e in steps(pair) if (e.operation, e.machine) == (operation, machine))
    await_step(pair, run, step)
    lost = pair.first.lose()
    with pair.store() as store:
        term = store.lease.look().term
        wait_for("the take-over", lambda: store.lease.look().term > term, seconds=PROMISED_SECONDS)
        took_over = time.time() - lost
        incident = pair.ended(run)
        own = [each.at - lost for each in store.timeline(run) if each.kind == "way"]
    assert incident.state is State.RESOLVED, incident.reason
    assert all(count == 1 for count in pair.done(boots).values()), pair.done(boots)
    assert 0 < min(own) < OWN_STEPS_SECONDS
    wait_for("the end of its sessions", lambda: pair.sessions(pair.first) == 0, seconds=30)

    pair.first.start()
    pair.until(pair.first, "standby")
    time.sleep(SETTLE_SECONDS)
    assert all(count == 1 for count in pair.done(boots).values()), pair.done(boots)
    found = f"another led after {took_over:.1f} s, did the lost agent's steps after {min(own):.1f}"
    record_property("take-over", found)
    print(f"control machine lost at {operation} {machine}: {found}")
