"""The control machine is lost with the broker on it, against the advice and as it often is: the
second one ends the run over SSH, and goes back to the broker when it is there again."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from deploy.lab import lab as labs
from orchestrator.core.incident import State
from tests.cold.pair import Pair, a_pair
from tests.sweeps.kills import SETTLE_SECONDS, await_step, steps

pytestmark = [pytest.mark.timeout(600), pytest.mark.long]


@pytest.fixture
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    if reason := labs.why_not("nspawn"):
        pytest.skip(f"no lab of real machines here: {reason}")
    with a_pair(tmp_path_factory.mktemp("together"), broker_on="first") as made:
        made.first.start()
        made.second.start()
        with made.left_alone():
            yield made


def test_the_second_control_machine_ends_the_run_without_a_broker(pair: Pair) -> None:
    pair.led_by_the_first()
    pair.lab.power_all("kill", list(pair.units))
    boots = pair.boots()
    run = str(pair.call("recover", "full-system", "--no-wait")["id"])
    step = next(e for e in steps(pair) if (e.operation, e.machine) == ("vm.start", "backend"))
    await_step(pair, run, step)
    lost = pair.first.lose()
    pair.broker.kill()
    incident = pair.ended(run)
    with pair.store() as store:
        own = [each.at - lost for each in store.timeline(run) if each.kind == "way"]
    print(f"control machine and broker lost: the first step over SSH after {min(own):.1f} s")
    assert incident.state is State.RESOLVED, incident.reason
    assert all(count == 1 for count in pair.done(boots).values()), pair.done(boots)
    assert any("the broker is away since" in each for each in pair.said(run, "way"))

    pair.broker.start()
    pair.first.start()
    pair.until(pair.first, "standby")
    time.sleep(SETTLE_SECONDS)
    assert all(count == 1 for count in pair.done(boots).values()), pair.done(boots)
