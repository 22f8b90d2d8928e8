"""ssh_first_effect_s: from the certainty that an agent is dead to the first effect on its machine.

What lives here: killing an agent, waiting until the coordinator knows, and timing one step. What
must not: how a peer is called (peers.py). The effect is a new process of a unit, by the record of
the machine's own systemd; a round in which the agent carried the step out is a fault.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

from deploy.lab.machines import AGENT
from tests.bench.figures import Figure, spread
from tests.bench.peers import Peers
from tests.bench.product import BenchFault, Product, wait_for
from tests.bench.six import NAMES, STAMP
from tests.bench.trigger import process_started

ROUNDS = 7
MACHINE = NAMES[0]
COMMAND = f"systemctl restart {STAMP}"


def measure(product: Product, rounds: int | None) -> list[Figure]:
    peers = Peers(product.lab, product.home / "peers-ssh", [MACHINE], COMMAND)
    others = {"ssh": peers.ssh, "pyinfra": peers.pyinfra, "ansible": peers.ansible}
    ours: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name in others}
    for number in range(-1, rounds or ROUNDS):
        seconds = _over_ssh(product)
        beside = {name: _timed(product, each) for name, each in others.items()}
        if number >= 0:
            ours.append(seconds)
            for name, took in beside.items():
                theirs[name].append(took)
    said = (
        "an agent is stopped; once the coordinator knows that it is dead and that its machine's "
        "SSH server answers, a run of one step is asked for by a POST; to the start of the unit's "
        "new process, as its systemd has recorded it. Within that: the connection, the clock, the "
        "agent's own unit started, its journal opened. Peers: the bare command"
    )
    return [
        Figure(
            "ssh_first_effect_s",
            median(ours),
            len(ours),
            spread(ours),
            said,
            peers={name: median(took) for name, took in theirs.items()},
        )
    ]


def _over_ssh(product: Product) -> float:
    wait_for(f"the agent of {MACHINE}", lambda: _condition(product) == "up", every=0.5)
    done = product.lab.inside(MACHINE, ["systemctl", "stop", AGENT])
    if not done.ok:
        raise BenchFault(f"the agent of {MACHINE}: {done.complaint}")
    wait_for("its death to be known", lambda: _condition(product) == "without agent", every=0.5)
    asked_at, run = product.recover("one-step", quiet=1.0)
    (step,) = run["steps"]
    if not step["reason"].endswith("(over SSH)"):
        raise BenchFault(f"the step was not carried out over SSH: {step['reason']}")
    return process_started(product) - asked_at


def _timed(product: Product, contender: Callable[[], None]) -> float:
    began = time.time()
    contender()
    return process_started(product) - began


def _condition(product: Product) -> str:
    machines = product.ask("GET", "/api/v1/status")["machines"]
    return next(str(each["condition"]) for each in machines if each["name"] == MACHINE)
