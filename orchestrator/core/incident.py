"""One failure: where it stands, the legal moves, and a decision about it.

What lives here: frozen values and the table of moves; an illegal one raises and changes
nothing. What must not: which move is made when; that is in advance.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from orchestrator.core.branch import BranchState
from orchestrator.core.events import Effect, Entry
from orchestrator.core.failure import Failure
from orchestrator.core.plan import Plan
from orchestrator.core.steps import StepRecord


class State(StrEnum):
    """Where an incident stands."""

    OPEN = "open"
    AWAITING_APPROVAL = "awaiting_approval"  #: the next rung may start only when a person says so
    RECOVERING = "recovering"
    VERIFYING = "verifying"  #: no step is out or will be; only looks from outside are left
    RESOLVED = "resolved"
    ESCALATED = "escalated"  #: a person is needed; nothing is done without one
    CLOSED = "closed"


MOVES: dict[State, frozenset[State]] = {
    State.OPEN: frozenset(
        {State.RECOVERING, State.AWAITING_APPROVAL, State.ESCALATED, State.RESOLVED}
    ),
    State.AWAITING_APPROVAL: frozenset({State.RECOVERING, State.ESCALATED, State.RESOLVED}),
    State.RECOVERING: frozenset({State.VERIFYING, State.AWAITING_APPROVAL, State.ESCALATED}),
    State.VERIFYING: frozenset(
        {State.RECOVERING, State.RESOLVED, State.AWAITING_APPROVAL, State.ESCALATED}
    ),
    State.RESOLVED: frozenset({State.CLOSED, State.OPEN}),
    State.ESCALATED: frozenset(
        {State.RECOVERING, State.AWAITING_APPROVAL, State.RESOLVED, State.CLOSED}
    ),
    State.CLOSED: frozenset(),
}

WORKING = frozenset({State.RECOVERING, State.VERIFYING})
ENDED = frozenset({State.RESOLVED, State.ESCALATED, State.CLOSED})


def may_begin(incident: Incident) -> bool:
    """Whether a recovery of it could begin by itself, if nothing speaks against it."""
    return incident.state is State.OPEN or (incident.state is State.ESCALATED and incident.held)


class IllegalMove(Exception):
    """This cannot be done in the state that the run is in; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Incident:
    """One failure, and the run that cures it. Times are Unix seconds."""

    id: str
    run: str  #: the Celery root task's id
    epoch: int
    scenario: str
    reason: str  #: why it was opened, or what is happening now
    plan: Plan
    opened_at: float
    state: State = State.OPEN
    rung: int = 0
    branches: tuple[BranchState, ...] = ()  #: of the current rung
    steps: tuple[StepRecord, ...] = ()  #: every attempt so far, in the order of publishing
    notes: tuple[str, ...] = ()  #: what is still wrong though nothing waits for it
    first_effect_at: float | None = None
    ended_at: float | None = None
    failure: Failure | None = None  #: what the watcher saw; None for what a person ordered
    dead: tuple[str, ...] = ()  #: machines whose agents did not answer at the beginning
    begun: tuple[float, ...] = ()  #: when each recovery began; more than one after a relapse
    episode: int = 0  #: how often a person was needed
    held: bool = False  #: escalated only because something spoke against acting
    informed: bool = False  #: whether the first level was told of the failure
    acknowledged_by: str = ""
    asked_at: float | None = None  #: since when a yes is waited for
    cured: bool = False  #: whether it was resolved before it was closed

    @property
    def recovered(self) -> bool:
        """Whether it ended well; one that was closed while escalated did not."""
        return self.state is State.RESOLVED or (self.state is State.CLOSED and self.cured)

    @property
    def rta_s(self) -> float | None:
        """Recovery time achieved, in seconds, from the first bad answer or the request.

        None until it is resolved, and where nothing was to be recovered, as in a backup.
        """
        if self.plan.urgent and self.recovered and self.ended_at is not None:
            began = self.failure.first_bad_at if self.failure else self.opened_at
            return self.ended_at - began
        return None


@dataclass(frozen=True, slots=True)
class Decision:
    """The incident after an event, what to do about it, and why."""

    incident: Incident
    effects: tuple[Effect, ...] = ()
    timeline: tuple[Entry, ...] = ()
    reasons: tuple[str, ...] = ()


def move(incident: Incident, to: State, reason: str, now: float) -> tuple[Incident, Entry]:
    """The incident in its new state with the line that tells of it."""
    if to not in MOVES[incident.state]:
        raise IllegalMove(f"run {incident.run} cannot go from {incident.state} to {to}")
    ended_at = now if to in (State.RESOLVED, State.ESCALATED) else incident.ended_at
    if to in (State.OPEN, State.RECOVERING, State.AWAITING_APPROVAL):
        ended_at = None
    cured = to is State.RESOLVED or (to is State.CLOSED and incident.state is State.RESOLVED)
    asked_at = now if to is State.AWAITING_APPROVAL else None
    changed = replace(
        incident, state=to, reason=reason, ended_at=ended_at, cured=cured, asked_at=asked_at
    )
    return changed, Entry(now, "state", f"{to}: {reason}")
