"""state.prune: backups of the coordinator's state that need not be kept any more are removed.

Comes after one that was just proved, in the same chain: where that failed, nothing goes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from tasks.host import Host, HostFault
from tasks.operation import Act, ActFailed, Leave, Met, Operation, Tell, Unmet
from tasks.operations._states import LOOK_SECONDS, program


@dataclass(frozen=True, slots=True)
class Arguments:
    into: str  #: the folder with these backups
    within_s: float  #: what is younger stays
    daily: int
    weekly: int
    monthly: int
    copies: bool = False  #: all of them are on a vault too: the catalogue is told of none


@dataclass(frozen=True, slots=True)
class Seen:
    names: tuple[str, ...]
    may_go: tuple[str, ...]  #: of them


def look(host: Host, wanted: Arguments) -> Seen:
    ran = host.run(_program("old", wanted), seconds=LOOK_SECONDS)
    if not ran.ok:
        raise HostFault(f"{wanted.into} cannot be looked through: {ran.complaint}")
    found = json.loads(ran.out)
    return Seen(tuple(found["names"]), tuple(found["may_go"]))


def _program(verb: str, wanted: Arguments) -> tuple[str, ...]:
    numbers = (wanted.within_s, wanted.daily, wanted.weekly, wanted.monthly)
    return program(verb, wanted.into, *map(str, numbers))


def decide(_wanted: Arguments, seen: Seen) -> Act | Leave:
    return Act() if seen.may_go else Leave(f"all {len(seen.names)} backups are to be kept")


def act(host: Host, wanted: Arguments, tell: Tell) -> None:
    tell(f"removing what need not be kept in {wanted.into}")
    ran = host.run(_program("prune", wanted), seconds=10 * LOOK_SECONDS)
    if not ran.ok:
        raise ActFailed(ran.complaint)


def judge(wanted: Arguments, before: Seen, now: Seen) -> Met | Unmet:
    left = sorted({*before.may_go} & {*now.names})
    gone = [each for each in before.may_go if each not in left]
    detail = json.dumps({"pruned": gone}) if gone and not wanted.copies else ""
    if left:
        return Unmet(f"still there: {', '.join(left)}", detail)
    return Met(f"{len(gone)} removed, {len(now.names)} backups are kept", detail)


prune = Operation(
    "state.prune",
    "Remove backups of the coordinator's state that need not be kept any more",
    Arguments,
    Seen,
    look,
    decide,
    act,
    judge,
    seconds=1800,
    in_plan=lambda wanted: (
        f"of {wanted.into} keep all of the last {wanted.within_s / 3600:g} h,",
        f"and the newest verified of each of {wanted.daily} days,",
        f"{wanted.weekly} weeks and {wanted.monthly} months",
    ),
)
