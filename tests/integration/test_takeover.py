"""Two coordinators on one PostgreSQL: one leads, and the other takes over what it was doing."""

from __future__ import annotations

import base64
import json
import os
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from orchestrator.core.incident import ENDED, Incident, State
from tasks.contract import Outcome
from tests.contracts.postgres import Server, running_server
from tests.integration import rig
from tests.integration.two import Seat, Two

#: Starting two coordinators takes a busy machine a while.
pytestmark = pytest.mark.timeout(300)

#: What is promised: so long after the leader's end its runs go on.
PROMISED_SECONDS = 15


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture(params=["valkey", pytest.param("rabbitmq", marks=pytest.mark.long)])
def two(request: pytest.FixtureRequest, postgres: Server, tmp_path: Path) -> Iterator[Two]:
    with ExitStack() as stack:
        broker = stack.enter_context(rig.broker(request.param, tmp_path))
        yield Two(broker, postgres, tmp_path, stack)


def started(seat: Seat) -> str:
    answer = seat.ask("POST", "/api/v1/runs", json={"scenario": "both", "reason": "a test"})
    assert answer.status_code == 201, answer.text + seat.log()
    run: str = answer.json()["id"]
    return run


def ended(two: Two, run: str, *, seconds: float = 60) -> Incident:
    def over() -> bool:
        stored = two.store.load(run)
        return stored is not None and stored.incident.state in ENDED

    rig.wait_for(f"the end of run {run}", over, seconds=seconds)
    stored = two.store.load(run)
    assert stored is not None
    return stored.incident


def assert_resolved_once(two: Two, *runs: str) -> None:
    """All resolved, and each attempt that was ordered took effect at most once."""
    incidents = [ended(two, run) for run in runs]
    for machine in ("one", "two"):
        steps = [s for each in incidents for s in each.steps]
        ordered = [each for each in steps if each.machine == machine]
        assert len(runs) <= len(two.effects(machine)) <= len(ordered)
        assert ordered[-1].outcome in (Outcome.DONE, Outcome.UNCHANGED)
    for incident in incidents:
        assert incident.state is State.RESOLVED, incident.reason
    assert not two.store.pending_effects()


def test_a_leader_killed_in_mid_run_is_followed_by_the_standby(two: Two) -> None:
    leader, standby = two.start()
    two.start_agent("one")
    two.start_agent("two")
    two.slow("one", 2)

    # Who stands by answers whoever asks, names the leader, and changes nothing.
    seen = standby.ask("GET", "/api/v1/status").json()
    assert seen["coordinator"]["role"] == "standby"
    assert seen["coordinator"]["leader_url"] == leader.url
    refused = standby.ask("POST", "/api/v1/runs", json={"scenario": "both"})
    assert refused.status_code == 503
    assert refused.json()["type"] == "urn:autobot-dr:problem:standby"
    assert leader.url in refused.json()["detail"]
    assert "autobot_dr_leading 0" in standby.ask("GET", "/metrics").text
    assert "autobot_dr_leading 1" in leader.ask("GET", "/metrics").text
    assert list(two.store.runs()) == []

    run = started(leader)
    rig.wait_for("the first effect", lambda: two.effects("one") != [])
    leader.kill()
    two.took_over(standby, seconds=PROMISED_SECONDS)
    assert_resolved_once(two, run)

    # The one that was killed stands by when it is back.
    leader.start()
    rig.wait_for("the old leader", leader.stands_by, seconds=90)
    assert standby.leads()


@pytest.mark.long
def test_a_report_that_was_lost_with_the_leader_is_given_again(two: Two) -> None:
    if not two.broker.url.startswith("redis"):
        pytest.skip("RabbitMQ gives back what nobody acknowledged")
    leader, standby = two.start()
    first = two.start_agent("one")
    two.start_agent("two")
    two.slow("one", 1)
    run = started(leader)
    rig.wait_for("the first effect", lambda: two.effects("one") != [])
    leader.kill()
    queue = redis.Redis.from_url(two.broker.url, decode_responses=True)
    rig.wait_for("both reports and the check", lambda: queue.llen("orchestrator") == 3)
    # As when a lost machine's connection is answered once more.
    (last,) = [each for each in queue.lrange("orchestrator", 0, -1) if _agent_of(each) == "two"]
    queue.lrem("orchestrator", 1, str(last))
    # And who is asked first for what is out was lost too.
    first.kill()
    two.took_over(standby, seconds=PROMISED_SECONDS)
    assert_resolved_once(two, run)


def _agent_of(message: bytes | str) -> str:
    """Whose report it is, if it is one."""
    arguments = json.loads(base64.b64decode(json.loads(message)["body"]))[1]
    return str(arguments.get("report", {}).get("agent", ""))


@pytest.mark.long
def test_a_clean_end_hands_over_at_once(two: Two) -> None:
    leader, standby = two.start()
    two.start_agent("one")
    two.start_agent("two")
    run = started(leader)
    leader.terminate()
    two.took_over(standby, seconds=PROMISED_SECONDS)
    assert two.store.lease.look().term == 3, "it was given back, which counts, and not waited for"
    assert_resolved_once(two, run)
    rig.wait_for("the end of the first", lambda: leader.ended() is not None)
    assert leader.ended() == 0, leader.log()


def test_a_leader_that_stood_still_writes_nothing_when_it_wakes_up(two: Two) -> None:
    leader, standby = two.start()
    two.start_agent("one")
    two.slow("one", 2)
    run = started(leader)
    rig.wait_for("the first effect", lambda: two.effects("one") != [])
    os.kill(leader.pid, signal.SIGSTOP)
    two.took_over(standby, seconds=PROMISED_SECONDS)
    two.start_agent("two")
    assert_resolved_once(two, run)
    before = two.store.load(run), list(two.store.timeline(run)), two.store.lease.look().term
    os.kill(leader.pid, signal.SIGCONT)
    rig.wait_for("the end of the old leader", lambda: leader.ended() is not None)
    assert leader.ended() == 1
    assert "another coordinator took over" in leader.log()
    after = two.store.load(run), list(two.store.timeline(run)), two.store.lease.look().term
    assert after == before
    # What it may have taken off the queue meanwhile is not lost.
    assert standby.leads()
    assert_resolved_once(two, run, started(standby))


def test_a_leader_that_is_cut_off_from_the_store_stops_before_the_other_begins(two: Two) -> None:
    leader, standby = two.start()
    cable = two.cable_of(leader)
    cable.cut()

    def knows() -> bool:
        return "lease cannot be renewed" in str(leader.ready().get("detail"))

    rig.wait_for("the leader's own complaint", knows)
    assert not standby.leads(), "it stopped by itself, before anybody took over"
    two.took_over(standby, seconds=PROMISED_SECONDS)
    two.start_agent("one")
    two.start_agent("two")
    assert_resolved_once(two, started(standby))
    cable.mend()
    rig.wait_for("the end of the old leader", lambda: leader.ended() is not None)
    assert leader.ended() == 1


@pytest.mark.long
def test_a_store_that_was_away_for_a_while_changes_no_leader(two: Two) -> None:
    leader, standby = two.start()
    for each in two.cables:
        each.cut()
    rig.wait_for("the complaint", lambda: "lease" in str(leader.ready().get("detail")))
    two.cable_of(leader).mend()
    rig.wait_for("the leader to go on", leader.leads)
    two.cable_of(standby).mend()
    two.start_agent("one")
    two.start_agent("two")
    assert_resolved_once(two, started(leader))
    assert standby.stands_by()


MOMENTS: dict[str, Callable[[Two, str], bool]] = {
    "as soon as it was asked for": lambda _two, _run: True,
    "while the first step works": lambda two, _run: two.effects("one") != [],
    "when the first step is reported": lambda two, run: reports(two, run) == 1,
    "while the second step works": lambda two, _run: two.effects("two") != [],
    "when all is reported": lambda two, run: reports(two, run) == 2,
}


def reports(two: Two, run: str) -> int:
    return len(two.store.reports(run))


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "how", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM], ids=lambda number: number.name
)
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_leader_lost_at_any_moment_loses_and_repeats_nothing(
    two: Two, moment: str, how: signal.Signals
) -> None:
    leader, standby = two.start()
    for machine in ("one", "two"):
        two.start_agent(machine)
        two.slow(machine, 1)
    run = started(leader)
    rig.wait_for(moment, lambda: MOMENTS[moment](two, run))
    os.kill(leader.pid, how)
    two.took_over(standby, seconds=PROMISED_SECONDS)
    assert_resolved_once(two, run)
    if how is signal.SIGSTOP:
        os.kill(leader.pid, signal.SIGCONT)
    rig.wait_for("the end of the old leader", lambda: leader.ended() is not None, seconds=60)
    assert_resolved_once(two, run, started(standby))


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_twenty_deaths(two: Two, record_property: Callable[[str, object], None]) -> None:
    """Each at another moment between two renewals; prints how long nobody led."""
    leader, standby = two.start()
    for machine in ("one", "two"):
        two.start_agent(machine)
    took = []
    for number in range(20):
        time.sleep(number % 5 * 0.2)
        leader.kill()
        took.append(two.took_over(standby, seconds=PROMISED_SECONDS))
        leader.start()
        leader, standby = standby, leader
        rig.wait_for("a standby", standby.stands_by, seconds=60)
    found = f"p50 {statistics.median(took):.1f} s, longest {max(took):.1f} s"
    record_property("take-over", found)
    print(f"20 x kill -9, until the other leads: {found}")
    run = started(leader)
    assert_resolved_once(two, run)
    assert two.store.lease.look().term == 21
