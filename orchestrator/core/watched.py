"""How an incident moves by what the watcher sees and by what people say of it.

What lives here: the part of `advance` that starts nothing on a machine. What must not: rungs,
branches and steps (advance.py). A message that does not fit any more is a normal case.

A resolved incident stays until it has settled. What fails again before that is the same
incident, with the same budget, so that a service that flaps cannot begin anew each time.
"""

from __future__ import annotations

from dataclasses import replace

from orchestrator.core.events import (
    Acknowledged,
    CallHuman,
    Entry,
    Held,
    Inform,
    Noted,
    Observed,
    Recovered,
    Relapsed,
    Settled,
    SettledByHand,
    StopCalls,
)
from orchestrator.core.failure import Failure, Severity
from orchestrator.core.incident import Decision, IllegalMove, Incident, State, move
from orchestrator.core.told import also_ill

#: Where nothing is being done and the watcher's word that all is well ends it.
IDLE = frozenset({State.OPEN, State.AWAITING_APPROVAL, State.ESCALATED})


def seen(
    incident: Incident,
    event: Held | Observed | Recovered | Relapsed | Settled | Noted,
    now: float,
) -> Decision:
    """What the watcher, or the time that went by, makes of it."""
    match event:
        case Held():
            return _held(incident, event, now)
        case Observed(failure):
            return _observed(incident, failure, now)
        case Recovered(reason):
            if incident.state not in IDLE:
                return Decision(incident, reasons=(f"well, and it is {incident.state}",))
            return resolved(incident, reason, now)
        case Relapsed(failure):
            return _relapsed(incident, failure, now)
        case Settled(reason, by):
            return _closed(incident, f"{reason} ({by})" if by else reason, now)
        case Noted(by, text):
            return Decision(incident, timeline=(Entry(now, "person", f"{by}: {text}"),))


def told(incident: Incident, event: Acknowledged | SettledByHand, now: float) -> Decision:
    """What a person says of it. IllegalMove if that cannot be."""
    match event:
        case Acknowledged(by):
            if incident.state in (State.RESOLVED, State.CLOSED):
                raise IllegalMove(f"incident {incident.id} is {incident.state}: nobody is called")
            text = f"acknowledged by {by}; nobody further is called"
            known = replace(incident, acknowledged_by=by)
            return Decision(known, (StopCalls(text),), (Entry(now, "person", text),))
        case SettledByHand(by, reason):
            if incident.state not in IDLE:
                raise IllegalMove(
                    f"incident {incident.id} is {incident.state}; only one that is open, waits or "
                    "is escalated can be resolved by hand"
                )
            return resolved(incident, f"{reason} (said by {by})", now)


def escalated(incident: Incident, reason: str, now: float) -> Decision:
    """Nothing is left without a person."""
    moved, line = move(incident, State.ESCALATED, reason, now)
    moved = replace(moved, episode=moved.episode + 1, acknowledged_by="")
    return Decision(moved, (CallHuman(reason),), (line,), (reason,))


def resolved(incident: Incident, reason: str, now: float) -> Decision:
    moved, line = move(incident, State.RESOLVED, reason, now)
    effects = (StopCalls(reason), Inform(f"resolved: {reason}")) if incident.failure else ()
    return Decision(moved, effects, (line,), (reason,))


def _held(incident: Incident, held: Held, now: float) -> Decision:
    if incident.state is not State.OPEN:
        return Decision(incident, reasons=(f"held, and it is {incident.state}",))
    if held.final:
        final = escalated(incident, held.reason, now)
        return replace(final, incident=replace(final.incident, held=True))
    if _wordless(incident.reason) == _wordless(held.reason):
        return Decision(incident)
    line = Entry(now, "state", f"waits: {held.reason}")
    waiting, effects = inform(replace(incident, reason=held.reason), quiet=held.quiet)
    return Decision(waiting, effects, (line,), (held.reason,))


def inform(incident: Incident, *, quiet: bool = False) -> tuple[Incident, tuple[Inform, ...]]:
    """Tell the first level of a failure that was detected; once."""
    if incident.informed or incident.failure is None or quiet:
        return incident, ()
    return replace(incident, informed=True), (Inform(incident.reason),)


def _wordless(reason: str) -> str:
    """Seconds that count up or down are no news."""
    return "".join(sign for sign in reason if not sign.isdigit())


def _observed(incident: Incident, failure: Failure, now: float) -> Decision:
    """The failure as it is seen now; the timeline has what became worse, better or clearer."""
    before = incident.failure
    if before is None or incident.state is State.CLOSED or before == failure:
        return Decision(incident)
    lines = [
        Entry(now, "watch", also_ill(each))
        for each in failure.consequences
        if _name(each) not in {_name(known) for known in before.consequences}
    ]
    if (before.health, before.severity) != (failure.health, failure.severity):
        text = f"{failure.services[0]} is {failure.health}, {failure.severity}: {failure.reason}"
        lines.append(Entry(now, "watch", text))
    if failure.fallback and not before.fallback:
        lines.append(Entry(now, "watch", f"the fallback serves: {failure.fallback}"))
    if before.fallback and not failure.fallback:
        lines.append(Entry(now, "watch", "the fallback does not serve any more"))
    return Decision(replace(incident, failure=failure), _worse(incident, failure), tuple(lines))


def _worse(incident: Incident, failure: Failure) -> tuple[CallHuman, ...]:
    """Who was only told by a warning is called when it turns critical."""
    before = incident.failure.severity if incident.failure else failure.severity
    waits = incident.state in (State.ESCALATED, State.AWAITING_APPROVAL)
    if waits and (before, failure.severity) == (Severity.WARNING, Severity.CRITICAL):
        return (CallHuman(f"now critical: {failure.reason}"),)
    return ()


def _name(consequence: str) -> str:
    return consequence.partition(":")[0]


def _relapsed(incident: Incident, failure: Failure, now: float) -> Decision:
    if incident.state is not State.RESOLVED:
        return Decision(incident, reasons=(f"ill again, and it is {incident.state}",))
    text = f"failed again, after {len(incident.begun)} recoveries: {failure.reason}"
    known = (
        replace(failure, first_bad_at=incident.failure.first_bad_at)
        if incident.failure
        else (failure)
    )
    opened, line = move(replace(incident, failure=known), State.OPEN, text, now)
    return Decision(opened, (Inform(text),), (line,), (text,))


def _closed(incident: Incident, reason: str, now: float) -> Decision:
    if incident.state not in (State.RESOLVED, State.ESCALATED):
        return Decision(incident, reasons=(f"not closed, it is {incident.state}",))
    closed, line = move(incident, State.CLOSED, reason, now)
    return Decision(closed, (StopCalls(reason),), (line,), (reason,))
