"""The whole control machine is lost in the middle of a recovery, and nobody is told: the second
one ends the run, and the first does nothing twice when it is back."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from deploy.lab import lab as labs
from orchestrator.core.incident import State
from tests.cold.pair import Pair, a_pair
from tests.integration.rig import wait_for
from tests.sweeps.kills import await_step, steps

pytestmark = [pytest.mark.timeout(600), pytest.mark.long]

PROMISED_SECONDS = 15
SETTLE_SECONDS = 4.0


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
        ("vm.start", "backend"),
        ("machine.ready", "ai"),
        ("vm.start", "redis"),
        ("service.start", "redis"),
        ("machine.reachable", "frontend"),
    ],
)
def test_the_second_control_machine_ends_the_run(pair: Pair, operation: str, machine: str) -> None:
    wait_for(
        "the roles", lambda: sorted(pair.roles()) == ["leader", "standby"], seconds=60, pause=0.5
    )
    print("roles", pair.roles())
    if pair.role(pair.first) != "leader":
        pair.second.end()
        pair.second.start()
        wait_for(
            "the roles",
            lambda: sorted(pair.roles()) == ["leader", "standby"],
            seconds=60,
            pause=0.5,
        )
    pair.lab.power_all("kill", list(pair.units))
    boots = pair.boots()
    run = str(pair.call("recover", "full-system", "--no-wait")["id"])
    step = next(e for e in steps(pair) if (e.operation, e.machine) == (operation, machine))
    await_step(pair, run, step)
    with pair.store() as store:
        term = store.lease.look().term
    lost = pair.first.lose()
    with pair.server.connect(pair.database) as c:

        def sessions():
            return c.execute(
                "select client_addr::text, state, count(*) from pg_stat_activity where datname=%s group by 1,2 order by 1",
                (pair.database,),
            ).fetchall()

        print("sessions", sessions())
        with pair.store() as store:
            wait_for("the take-over", lambda: store.lease.look().term > term, seconds=60)
            print(f"take-over after {time.time() - lost:.1f} s")
            before = store.load(run)
            wait_for("first decision", lambda: store.load(run).version > before.version, seconds=60)
            print(f"first decision after {time.time() - lost:.1f} s")
        incident = pair.ended(run)
        print(f"ended {incident.state} after {time.time() - lost:.1f} s: {incident.reason}")
        with pair.store() as store:
            for each in store.timeline(run):
                print(f"  {each.at - lost:+6.1f} {each.kind}: {each.text}")
        print("sessions", sessions())
    counts = {f"power of {name}": n - boots[name] for name, n in pair.boots().items()}
    counts |= {f"service of {name}": n for name, n in pair.starts().items()}
    print(counts)
    print("unacked", unacked(pair))
    assert incident.state is State.RESOLVED
    assert set(counts.values()) == {1}, counts
    n = len(pair.first.agent_log())
    pair.first.start()
    wait_for("it stands by", lambda: pair.role(pair.first) == "standby", seconds=60, pause=0.5)
    time.sleep(SETTLE_SECONDS)
    print(pair.first.agent_log()[n:])
    print("unacked", unacked(pair))
    counts = {f"power of {name}": n - boots[name] for name, n in pair.boots().items()}
    counts |= {f"service of {name}": n for name, n in pair.starts().items()}
    assert set(counts.values()) == {1}, counts


def unacked(pair: Pair) -> dict[str, int]:
    import subprocess, sys

    code = "import redis,sys; r=redis.Redis.from_url(sys.argv[1]); print({k.decode(): r.type(k).decode()+' '+str(r.zcard(k) if r.type(k)==b'zset' else r.hlen(k) if r.type(k)==b'hash' else r.llen(k) if r.type(k)==b'list' else '') for k in r.keys('*') if b'kombu.binding' not in k})"
    return subprocess.run(
        [*pair.lab.prefix(), sys.executable, "-c", code, pair.broker.made.url],
        capture_output=True,
        text=True,
    ).stdout
