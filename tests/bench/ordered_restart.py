"""ordered_restart_ratio: restart and check Redis on six machines, one after another.

What lives here: this project and the limit, interleaved in one run with the peers. What must
not: how a peer is called (peers.py). The limit is the two commands themselves, in each machine
in turn; a round in which any Redis was not restarted exactly by its contender is a fault.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

from deploy.lab.lab import Lab
from tests.bench.figures import Figure, spread
from tests.bench.peers import Peers
from tests.bench.product import BenchFault, Product, moment
from tests.bench.six import NAMES, REDIS

ROUNDS = 7
BARE = (
    f"systemctl restart {REDIS}; "
    'until [ "$(redis-cli ping 2>/dev/null)" = PONG ]; do sleep 0.005; done'
)
CONDITIONS = (
    "six nspawn machines, Debian's redis-server as shipped, empty; limit: by nsenter into each "
    f"machine in turn, sh -c '{BARE}'; ours: one chain, from the POST until the coordinator "
    "recorded the run as resolved"
)


def measure(product: Product, rounds: int | None) -> list[Figure]:
    times: dict[str, list[float]] = {}
    inner: list[float] = []
    peers = Peers(product.lab, product.home / "peers", NAMES, BARE)

    def ours() -> float:
        asked_at, run = product.recover("ordered-restart", quiet=1.0)
        inner.append(_first_effect_to_last_end(run))
        return moment(run["ended_at"]) - asked_at

    bare = ("limit", _timed(lambda: _limit(product.lab)))
    mine = ("ours", ours)
    others = (
        ("ssh", _timed(peers.ssh)),
        ("pyinfra", _timed(peers.pyinfra)),
        ("ansible", _timed(peers.ansible)),
    )
    # One round that does not count: everybody's files are in memory afterwards.
    for number in range(-1, rounds or ROUNDS):
        for other in others:
            # Ours and the limit come more often, because they are closest to each other.
            for name, contender in (bare, mine, other):
                seconds = _restarting_all(product.lab, contender)
                if number >= 0:
                    times.setdefault(name, []).append(seconds)
    return [_figure(times, inner[len(others) :])]


def _figure(times: Mapping[str, list[float]], inner: list[float]) -> Figure:
    limit = median(times["limit"])
    ratios = [mine / bare for mine, bare in zip(times["ours"], times["limit"], strict=True)]
    peers = {name: median(times[name]) / limit for name in ("ssh", "pyinfra", "ansible")}
    medians = ", ".join(f"{name} {median(each):.3f} s" for name, each in times.items())
    said = f"{CONDITIONS}; medians: {medians}; ours from first effect to last end"
    said += f" {median(inner):.3f} s"
    return Figure(
        "ordered_restart_ratio",
        median(times["ours"]) / limit,
        len(ratios),
        spread(ratios),
        said,
        peers,
    )


def _limit(lab: Lab) -> None:
    for name in NAMES:
        done = lab.inside(name, ["sh", "-c", BARE])
        if not done.ok:
            raise BenchFault(f"{name}: the bare commands: {done.complaint}")


def _first_effect_to_last_end(run: dict[str, Any]) -> float:
    return max(moment(each["ended_at"]) for each in run["steps"]) - moment(run["first_effect_at"])


def _timed(act: Callable[[], None]) -> Callable[[], float]:
    def timed() -> float:
        began = time.monotonic()
        act()
        return time.monotonic() - began

    return timed


def _restarting_all(lab: Lab, contender: Callable[[], float]) -> float:
    before = _invocations(lab)
    seconds = contender()
    if both := before & _invocations(lab):
        raise BenchFault(f"{len(both)} of {len(NAMES)} Redis servers were not restarted")
    time.sleep(0.5)  # what a contender left to be tidied up must not cost the next one
    return seconds


def _invocations(lab: Lab) -> set[str]:
    show = ["systemctl", "show", "--property=InvocationID", "--value", REDIS]
    return {lab.inside(name, show).out.strip() for name in NAMES}
