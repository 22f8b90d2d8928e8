"""What can happen to an incident, and what a decision asks for. Two closed unions.

What lives here: frozen values. What must not: any decision; those are in incident.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core.failure import Failure
from tasks.contract import WorkOrder, WorkReport


@dataclass(frozen=True, slots=True)
class Begin:
    """The incident may be acted on.

    `dead` are machines whose agents do not answer: a rung that would begin with them is passed
    over. `ask` is why the first rung needs a yes whatever its runbook says.
    """

    dead: tuple[str, ...] = ()
    ask: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """The incident must not be acted on yet, or, if `final`, not without a person.

    `quiet` in a maintenance window: nobody needs to be told.
    """

    reason: str
    final: bool = False
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Observed:
    """The watcher sees the failure otherwise than before."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Recovered:
    """The watcher sees that what failed is well, or is no incident of its own."""

    reason: str


@dataclass(frozen=True, slots=True)
class Relapsed:
    """What was resolved has failed again before its incident was closed."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Settled:
    """It stayed well for long enough, or a person ends it: the incident is closed."""

    reason: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A person has it in hand; nobody further is called."""

    by: str


@dataclass(frozen=True, slots=True)
class Noted:
    """A person wrote something down."""

    by: str
    text: str


@dataclass(frozen=True, slots=True)
class SettledByHand:
    """A person says that it is resolved; the watcher will say if it is not."""

    by: str
    reason: str


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


Event = (
    Begin
    | Held
    | Observed
    | Recovered
    | Relapsed
    | Settled
    | SettledByHand
    | Acknowledged
    | Noted
    | Reported
    | Checked
    | Tick
    | Approved
    | Cancelled
    | Resumed
)


@dataclass(frozen=True, slots=True)
class Publish:
    """Send these orders as one chain that ends in the check. No orders: check at once."""

    rung: int
    branch: int
    orders: tuple[WorkOrder, ...]
    check_seconds: float  #: how long the check may wait until the services are healthy


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Tell the agents that these orders are not to be carried out any more."""

    orders: tuple[tuple[str, str], ...]  #: each with its agent before it
    reason: str


@dataclass(frozen=True, slots=True)
class CallHuman:
    """Nothing is left that may be done without a person: call one level after the other."""

    reason: str


@dataclass(frozen=True, slots=True)
class Inform:
    """The first level should know; nobody has to do anything."""

    reason: str


@dataclass(frozen=True, slots=True)
class StopCalls:
    """Whoever was not called yet need not be."""

    reason: str


Effect = Publish | Withdraw | CallHuman | Inform | StopCalls


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the timeline: what happened and why, with its evidence."""

    at: float
    kind: str  #: state, step, check or person
    text: str
    detail: str = ""
