"""Who is called when: levels with their delays, and what follows when somebody is not reached.

What lives here: the call as a value and the decisions about calls. What must not: storing them
(notify/book.py), writing or sending a message.

A row is one message to one contact. Its key names the effect that asked for it, so an effect
that is taken twice makes no second row. A level is given up only for the next one: the last
that is left is tried until somebody answers for the incident.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from orchestrator.core.failure import Severity
from orchestrator.core.incident import Incident, State

PAUSES = (5.0, 20.0, 60.0)  #: seconds before each further attempt at the same contact
REPEAT_SECONDS = 60.0  #: the same notice within this time is sent once

#: Where a person is needed; in any other state nobody is called.
NEEDING = frozenset({State.AWAITING_APPROVAL, State.ESCALATED})


@dataclass(frozen=True, slots=True)
class Contact:
    """Who is called, and how long after a person is needed. `reach` is empty until configured.

    A reach may hold a password or a token: rows and logs have only what `shown` gives.
    """

    role: str
    after_s: float
    reach: str = field(default="", repr=False)

    @property
    def shown(self) -> str:
        """Where it goes, without what is secret."""
        if (address := mail_address(self.reach)) is not None:
            return f"mailto://{address}"
        return f"{self.reach.partition('://')[0]}://…"


def mail_address(reach: str) -> str | None:
    """The address of a plain mailto://person@example.com; None for everything else."""
    scheme, _, rest = reach.partition("://")
    person, at, domain = rest.partition("@")
    if scheme != "mailto" or not (person and at and domain) or set(rest) & set(':/?#%" \\,;<>'):
        return None
    return rest if "@" not in domain else None


class CallKind(StrEnum):
    """What is asked of whom it goes to."""

    CALL = "call"  #: something has to be done
    INFORM = "inform"  #: nothing has to be done


class CallState(StrEnum):
    """Where a call stands."""

    WAITING = "waiting"
    SENDING = "sending"  #: somebody is at it, since `claimed_at`
    SENT = "sent"
    FAILED = "failed"  #: given up
    STOPPED = "stopped"  #: not needed any more


@dataclass(frozen=True, slots=True)
class NewCall:
    """A row to be written."""

    key: str
    run: str
    kind: CallKind
    level: int
    role: str
    reach: str  #: as it may be shown
    reason: str
    due_at: float


@dataclass(frozen=True, slots=True)
class Call(NewCall):
    """A row as it stands. Times are Unix seconds."""

    id: int = 0
    state: CallState = CallState.WAITING
    attempts: int = 0
    claimed_at: float | None = None
    ended_at: float | None = None
    error: str = ""  #: why the last attempt failed, or why it was not needed

    @property
    def effect(self) -> int:
        """The number of the stored effect that asked for it."""
        return int(self.key.removesuffix(f"/{self.level}/{self.role}").rpartition("/")[2])


def plan_calls(
    incident: Incident,
    contacts: Sequence[Contact],
    reason: str,
    now: float,
    effect: int,
    known: Sequence[Call] = (),
) -> tuple[NewCall, ...]:
    """A row for each contact that is not waiting to be called for this run already.

    A failure that users do not feel is for the first level only.
    """
    waiting = {c.role for c in known if c.kind is CallKind.CALL and c.state is CallState.WAITING}
    levels = _levels(contacts)
    if incident.failure is not None and incident.failure.severity is Severity.WARNING:
        levels = levels[:1]
    return tuple(
        _row(incident, CallKind.CALL, level, each, reason, now + each.after_s, effect)
        for level, here in enumerate(levels)
        for each in here
        if each.role not in waiting
    )


def plan_notice(
    incident: Incident, contacts: Sequence[Contact], reason: str, now: float, effect: int
) -> tuple[NewCall, ...]:
    """What the first level should know at once. Whoever ordered a run watches it anyway."""
    if incident.failure is None:
        return ()
    return tuple(
        _row(incident, CallKind.INFORM, level, each, reason, now, effect)
        for level, here in enumerate(_levels(contacts)[:1])
        for each in here
    )


def _levels(contacts: Sequence[Contact]) -> list[list[Contact]]:
    """Those that can be reached, the first to be called first."""
    able = [each for each in contacts if each.reach]
    delays = sorted({each.after_s for each in able})
    return [[each for each in able if each.after_s == delay] for delay in delays]


def _row(
    incident: Incident,
    kind: CallKind,
    level: int,
    contact: Contact,
    reason: str,
    due_at: float,
    effect: int,
) -> NewCall:
    key = f"{incident.run}/{effect}/{level}/{contact.role}"
    return NewCall(key, incident.run, kind, level, contact.role, contact.shown, reason, due_at)


def stopped_by(effect: int, known: Sequence[Call]) -> tuple[int, ...]:
    """The calls that an effect to stop them takes out: those that were asked for before it.

    Another coordinator may carry it out late, when a person is needed again.
    """
    going = (CallState.WAITING, CallState.SENDING)
    return tuple(
        each.id
        for each in known
        if each.kind is CallKind.CALL and each.state in going and each.effect < effect
    )


def why_not(call: Call, incident: Incident, known: Sequence[Call], now: float) -> str:
    """Why a call that is due need not be made; empty if it must."""
    if call.kind is CallKind.CALL:
        return "" if incident.state in NEEDING else f"the run is {incident.state}"
    for other in known:
        same = (other.kind, other.role, other.reason) == (call.kind, call.role, call.reason)
        sent_at = other.ended_at if other.state is CallState.SENT else None
        if same and sent_at is not None and now - sent_at < REPEAT_SECONDS:
            return f"the same was sent {now - sent_at:.0f} s before"
    return ""


@dataclass(frozen=True, slots=True)
class Again:
    """The same contact is tried again."""

    at: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """This contact is not tried any more; these calls are made now instead."""

    sooner: tuple[int, ...] = ()


def after_failure(
    call: Call,
    known: Sequence[Call],
    now: float,
    *,
    hopeless: bool,
    pauses: Sequence[float] = PAUSES,
) -> Again | GiveUp:
    """What follows an attempt that failed. `known` are all calls of the run."""
    if not hopeless and call.attempts <= len(pauses):
        return Again(now + pauses[call.attempts - 1])
    if call.kind is CallKind.INFORM:
        return GiveUp()
    others = [each for each in known if each.kind is CallKind.CALL and each.id != call.id]
    beside = [c for c in others if (c.effect, c.level) == (call.effect, call.level)]
    if any(c.state in (CallState.SENT, CallState.WAITING, CallState.SENDING) for c in beside):
        return GiveUp()
    above = [each for each in others if each.level > call.level]
    waiting = [each for each in above if each.state is CallState.WAITING]
    if waiting:
        first = min(each.level for each in waiting)
        return GiveUp(tuple(each.id for each in waiting if each.level == first))
    if any(each.state is CallState.SENT and each.effect == call.effect for each in above):
        return GiveUp()
    return Again(now + pauses[-1])
