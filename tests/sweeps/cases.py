"""The faults of the sweep: every scenario broken in at least three ways.

What lives here: what is broken and what must come of it. What must not: how it is broken
(deploy/lab) and how it is measured (__main__.py).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """A fault that must be recovered without a hand."""

    scenario: str
    way: str
    kind: str  #: of deploy/lab/kinds.py
    target: str
    service: str
    seconds: float = 150.0  #: until it must be resolved


@dataclass(frozen=True)
class Forbearance:
    """A trouble in which nothing may be restarted, however long it lasts."""

    name: str
    kind: str
    target: str
    service: str  #: whose incident is opened; empty where it is one of our own sight
    lasts: float


def _three(scenario: str, machine: str, service: str) -> list[Case]:
    return [
        Case(scenario, "crash", "service-crash", machine, service),
        Case(scenario, "hang", "service-hang", machine, service),
        Case(scenario, "machine off", "machine-off", machine, service),
    ]


CASES = (
    *_three("redis", "redis", "redis"),
    Case("redis", "disk full", "disk-full", "redis", "redis"),
    Case("redis", "wrong permissions", "wrong-permissions", "redis", "redis"),
    *_three("backend", "backend", "backend"),
    Case("backend", "says unhealthy", "unhealthy", "backend", "backend"),
    *_three("frontend", "frontend", "frontend"),
    Case("frontend", "wrong answer", "wrong-answer", "frontend", "frontend"),
    *_three("ai-stack", "ai", "ollama"),
    *_three("npu-worker", "npu", "npu-worker"),
    *_three("browser", "browser", "playwright"),
    Case("full-system", "power lost", "everything-down", "", ""),
    Case("full-system", "all services crash", "service-crash", "*", ""),
    # The first rung starts nothing, since they run; the second restarts what hangs.
    Case("full-system", "all services hang", "service-hang", "*", "", seconds=400.0),
)

FORBEARANCES = (
    Forbearance("password changed", "password-changed", "redis", "redis", 60.0),
    Forbearance("loading", "loading", "redis", "redis", 120.0),
    Forbearance("initialising", "initialising", "backend", "backend", 420.0),
    Forbearance("coordinator's network cut", "coordinator-cut", "", "", 90.0),
    Forbearance("half the fleet from one vantage", "half-cut", "redis,backend,ai", "", 90.0),
)
