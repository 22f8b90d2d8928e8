"""redis.restore: refuses, because nothing proved is there to restore from yet.

A dump that nobody has loaded in a scratch server may be empty or broken, and putting it in
the place of the live data is the one step here that can destroy. Restoring comes with backups.
"""

from __future__ import annotations

from dataclasses import dataclass

from tasks.host import Host
from tasks.operation import ActFailed, Met, Operation, Refuse, Tell, Unmet

_REASON = (
    "nothing was changed: a restore needs a backup that was proved by loading it in a scratch "
    "server, and this version keeps no backups yet. By hand: stop the service, rename its data "
    "files (keep them), put the dump in their place with the same owner, start it, count its keys"
)


@dataclass(frozen=True, slots=True)
class Arguments:
    pass


@dataclass(frozen=True, slots=True)
class Seen:
    pass


def look(_host: Host, _wanted: Arguments) -> Seen:
    return Seen()


def decide(_wanted: Arguments, _seen: Seen) -> Refuse:
    return Refuse(_REASON)


def act(_host: Host, _wanted: Arguments, _tell: Tell) -> None:
    raise ActFailed(_REASON)


def judge(_wanted: Arguments, _before: Seen, _now: Seen) -> Met | Unmet:
    return Unmet(_REASON, final=True)


restore = Operation(
    "redis.restore",
    "Restore Redis from a proved backup (refuses: there are no backups yet)",
    Arguments,
    Seen,
    look,
    decide,
    act,
    judge,
    seconds=30,
)
