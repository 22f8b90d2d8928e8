"""What can happen to an incident, and what a decision asks for. Two closed unions.

What lives here: frozen values. What must not: any decision; those are in incident.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from tasks.contract import WorkOrder, WorkReport


@dataclass(frozen=True, slots=True)
class Begin:
    """The incident was opened and may be acted on."""


@dataclass(frozen=True, slots=True)
class Reported:
    """An agent's report came in. Whether it was signed by that agent is settled before."""

    report: WorkReport


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one look from outside found of one service."""

    service: str
    healthy: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Checked:
    """The coordinator looked from outside, after a branch's steps."""

    rung: int
    branch: int
    results: tuple[CheckResult, ...]


@dataclass(frozen=True, slots=True)
class Tick:
    """A second passed. Whatever is overdue is found now.

    `listening_since` is when the coordinator began to hear its agents, None while the broker
    is away: what a deaf coordinator did not hear says nothing.
    """

    listening_since: float | None = 0.0


@dataclass(frozen=True, slots=True)
class Approved:
    """A person allowed the rung that was waiting for it."""

    by: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A person stopped the run."""

    by: str


@dataclass(frozen=True, slots=True)
class Resumed:
    """A person lets an escalated run try its rung once more."""

    by: str


Event = Begin | Reported | Checked | Tick | Approved | Cancelled | Resumed


@dataclass(frozen=True, slots=True)
class Publish:
    """Send these orders as one chain that ends in the check. No orders: check at once."""

    rung: int
    branch: int
    orders: tuple[WorkOrder, ...]
    check_seconds: float  #: how long the check may wait until the services are healthy


@dataclass(frozen=True, slots=True)
class CallHuman:
    """Nothing is left that may be done without a person."""

    reason: str


Effect = Publish | CallHuman


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the timeline: what happened and why, with its evidence."""

    at: float
    kind: str  #: state, step, check or person
    text: str
    detail: str = ""
