"""What an operation is, and the one way to carry it out: look, act, look again.

What lives here: the shape of an operation, reading its arguments, and the engine. What must
not: any particular service. An operation is four small functions:

- `look(host, arguments)` reads the target; what it returns is plain and goes to the journal;
- `decide(arguments, seen)` says whether to act, leave alone or refuse, and why; pure;
- `act(host, arguments, tell)` gives the commands; it decides nothing and waits for nothing;
- `judge(arguments, before, now)` says from two looks whether it is done; pure.

Because `judge` needs only what was seen before and what is seen now, an order that a crash
left unfinished is judged by a fresh look and never repeated blindly (P3), and a success is
always a post-condition read from the target (P1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

# Re-exported: whoever carries out an operation also reads its arguments.
from tasks.arguments import BadArguments as BadArguments
from tasks.arguments import read_arguments as read_arguments

# Re-exported: a probe is asked beside the operations.
from tasks.asking import Probe as Probe
from tasks.asking import reading_of as reading_of
from tasks.asking import take_reading as take_reading
from tasks.contract import Json, Outcome
from tasks.ending import Ended
from tasks.headway import SILENT as SILENT
from tasks.headway import Moved as Moved
from tasks.headway import Tell as Tell
from tasks.host import Host, HostFault

#: Between two looks while a post-condition is awaited, in seconds: at first and at most. What is
#: awaited is so seen within an eighth of the time that it took, and three waves make one such delay
#: each; a look takes about 10 ms of the machine.
FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.5
LENGTHEN = 1.15
#: How long an order that a crash left begun may take to be there. What the crash itself
#: restarted is just up, and counts as settled a while later.
RECONSIDER_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Act:
    """Go on and act."""


@dataclass(frozen=True, slots=True)
class Leave:
    """The goal is there already."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """It must not be done here."""

    reason: str


@dataclass(frozen=True, slots=True)
class Met:
    """The post-condition holds, and this is what shows it."""

    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Unmet:
    """Not there. `final` when waiting cannot help."""

    reason: str
    detail: str = ""
    final: bool = False


@dataclass(frozen=True, slots=True)
class Ripe:
    """All is there but what `release` does, which may be done again and again: not even a crash
    must leave it undone."""

    reason: str


@dataclass(frozen=True, slots=True)
class Result:
    """How carrying out an operation ended."""

    outcome: Outcome
    reason: str
    detail: str = ""


class ActFailed(Exception):
    """The machine said no to the act itself; a fresh look still decides."""


A = TypeVar("A")  # the arguments, a frozen dataclass
S = TypeVar("S")  # what a look sees, a frozen dataclass of plain values


@dataclass(frozen=True, slots=True)
class Operation(Generic[A, S]):
    """Something that can be done to a machine. One per file; the folder is the catalogue."""

    name: str
    summary: str  #: one line for people, in plan and in Flower
    arguments: type[A]
    seen: type[S]
    look: Callable[[Host, A], S]
    decide: Callable[[A, S], Act | Leave | Refuse]
    act: Callable[[Host, A, Tell], None]
    judge: Callable[[A, S, S], Met | Unmet | Ripe]
    seconds: float  #: how long it may last unless the runbook says otherwise
    only_looks: bool = False  #: changes nothing, so it may be repeated freely
    #: What to read before acting where that is less than `look` reads: asking a hung service
    #: how it feels costs its whole timeout and decides nothing about restarting it.
    look_before: Callable[[Host, A], S] | None = None
    #: May be ended from outside at any command, until it says that it must go on: it puts away
    #: what it has begun, or leaves what its next attempt goes on with.
    endable: bool = False
    #: It is only there to be read by people: what it cannot learn must not stop a recovery.
    diagnosis: bool = False
    #: What a plan shows instead of a dry run, where the commands depend on what is found.
    in_plan: Callable[[A], tuple[str, ...]] | None = None
    from_control: bool = False  #: runs at the control machine's agent: the target may be off
    #: What it ends, if only for a while: the "unit" that it names, or the "machine".
    ends: str = ""
    #: What it ends comes back also when whoever ordered that has ended with it.
    returns: bool = False
    #: What is done once `judge` calls it ripe, also by whoever finds it so after a crash.
    release: Callable[[Host, A], None] = lambda _host, _arguments: None
    #: Lasts for hours and disturbs nobody: a recovery of the same machine goes on meanwhile.
    beside: bool = False


def only_look(
    name: str,
    summary: str,
    arguments: type[A],
    seen: type[S],
    look: Callable[[Host, A], S],
    judge: Callable[[A, S], Met | Unmet],
    *,
    seconds: float,
    decide: Callable[[A, S], Act | Leave | Refuse] = lambda _arguments, _seen: Act(),
    in_plan: Callable[[A], tuple[str, ...]] | None = None,
    diagnosis: bool = False,
    from_control: bool = False,
) -> Operation[A, S]:
    """An operation that changes nothing: it looks until what it sees satisfies `judge`."""
    return Operation(
        name,
        summary,
        arguments,
        seen,
        look,
        decide,
        act=lambda _host, _arguments, _tell: None,
        judge=lambda bound, _before, now: judge(bound, now),
        seconds=seconds,
        only_looks=True,
        endable=True,
        diagnosis=diagnosis,
        in_plan=in_plan,
        from_control=from_control,
    )


def carry_out(
    host: Host,
    operation: Operation[Any, Any],
    arguments: Mapping[str, Json],
    *,
    ends: float,
    begun: Callable[[Mapping[str, Json]], None] = lambda _: None,
    tell: Tell = SILENT,
) -> Result:
    """Look, act, look again until `ends` on the host's clock.

    `begun` is called once with what was seen, before anything is changed; the agent's
    journal writes it down there, and an exception from it stops the act. It is not called
    where nothing is changed: for an operation that only looks, one left or one refused.
    """
    bound = read_arguments(operation.arguments, arguments)
    if operation.only_looks:
        return _await(host, operation, bound, None, said="", ends=ends)
    try:
        before = (operation.look_before or operation.look)(host, bound)
    except HostFault as fault:
        return Result(Outcome.FAILED, f"could not look before acting, so did nothing: {fault}")
    if settled := _settled(operation.decide(bound, before)):
        return settled
    begun(asdict(before))
    said = ""
    try:
        operation.act(host, bound, tell)
    except (ActFailed, HostFault) as failure:
        said = str(failure)
    return _await(host, operation, bound, before, said=said, ends=ends)


def _settled(decision: Act | Leave | Refuse) -> Result | None:
    match decision:
        case Leave(reason):
            return Result(Outcome.UNCHANGED, reason)
        case Refuse(reason):
            return Result(Outcome.REFUSED, reason)
        case Act():
            return None


def reconsider(
    host: Host,
    operation: Operation[Any, Any],
    arguments: Mapping[str, Json],
    before: Mapping[str, Json],
    *,
    ends: float,
) -> Result:
    """Judge an order that a crash left begun: by fresh looks until `ends`, never acting again."""
    bound = read_arguments(operation.arguments, arguments)
    seen = operation.seen(**before)
    pause = FIRST_PAUSE
    while True:
        try:
            finding = _finding(host, operation, bound, seen, operation.look(host, bound))
            reason = f"begun before a crash, and not there yet: {finding.reason}"
        except HostFault as fault:
            finding = Unmet(str(fault))
            reason = f"begun before a crash, and now not readable: {fault}"
        if isinstance(finding, Met):
            return Result(Outcome.DONE, f"{finding.reason} (seen after a crash)", finding.detail)
        if finding.final or host.now() + pause > ends:
            return Result(Outcome.UNKNOWN, reason, finding.detail)
        host.sleep(pause)
        pause = min(pause * LENGTHEN, LONGEST_PAUSE)


def _finding(
    host: Host, operation: Operation[A, S], bound: A, before: S | None, now: S
) -> Met | Unmet:
    """The judgement of a look; what is ripe is released, and looked at again."""
    judged = operation.judge(bound, now if before is None else before, now)
    if not isinstance(judged, Ripe):
        return judged
    try:
        operation.release(host, bound)
    except ActFailed as failure:
        return Unmet(f"{judged.reason}: {failure}", final=True)
    after = operation.look(host, bound)
    again = operation.judge(bound, after if before is None else before, after)
    return Unmet(again.reason) if isinstance(again, Ripe) else again


def _await(
    host: Host,
    operation: Operation[A, S],
    bound: A,
    before: S | None,
    *,
    said: str,
    ends: float,
) -> Result:
    """Look until it is there or cannot come; `before` is None when nothing was done."""
    waits, pause = 0.0, FIRST_PAUSE
    while True:
        fault = ""
        try:
            host.sleep(waits)
            now = operation.look(host, bound)
            if before is None and (settled := _settled(operation.decide(bound, now))):
                return settled
            finding = _finding(host, operation, bound, before, now)
        except Ended as ended:
            if before is None:
                return Result(Outcome.FAILED, str(ended))
            # What was done is looked at all the same: nobody ends that look.
            said, waits = said or str(ended), 0.0
            continue
        except HostFault as error:
            if operation.diagnosis:
                return Result(Outcome.UNCHANGED, f"nothing was learned: {error}")
            finding, fault = Unmet(f"could not look: {error}"), str(error)
        if isinstance(finding, Met):
            return Result(Outcome.DONE, finding.reason, finding.detail)
        reason = f"{said}; {finding.reason}" if said else finding.reason
        # A refused act leaves nothing to wait for once a look has confirmed it.
        if finding.final or (said and not fault):
            return Result(Outcome.FAILED, reason, finding.detail)
        if host.now() + pause > ends:
            outcome = Outcome.UNKNOWN if fault else Outcome.TIMED_OUT
            return Result(outcome, reason, finding.detail)
        waits, pause = pause, min(pause * LENGTHEN, LONGEST_PAUSE)
