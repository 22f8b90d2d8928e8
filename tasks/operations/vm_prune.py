"""vm.prune: snapshots or exports of a virtual machine that need not be kept any more go.

Comes after a new one was made, in the same chain: where that failed, nothing goes. Only what bears
the name of this job is counted, and only that is removed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from tasks import machines, snapshots
from tasks.backup.manifest import State
from tasks.backup.retention import Dated, Keep, may_go
from tasks.host import Host
from tasks.operation import Act, Leave, Met, Operation, Tell, Unmet
from tasks.snapshots import ours, taken_at


@dataclass(frozen=True, slots=True)
class Arguments(snapshots.Arguments):
    within_s: float  #: what is younger stays
    daily: int
    weekly: int
    monthly: int
    to: str = ""  #: where the exports are; without it, it is about snapshots


@dataclass(frozen=True, slots=True)
class Seen:
    known: tuple[str, ...]  #: this job's, the oldest first
    may_go: tuple[str, ...] = ()  #: of them


def look(host: Host, wanted: Arguments) -> Seen:
    asked = machines.hypervisor(host, wanted)
    if wanted.to:
        names = [each.name for each in asked.list_exports(wanted.vm, wanted.to)]
    else:
        names = [each.name for each in asked.list_snapshots(wanted.vm)]
    known = ours(wanted.prefix, names)
    # Each is whole, or it would not be listed; for this rule that is as good as it gets.
    dated = [Dated(e, taken_at(wanted.prefix, e) or 0.0, State.VERIFIED) for e in known]
    keep = Keep(wanted.within_s, wanted.daily, wanted.weekly, wanted.monthly)
    return Seen(known, may_go(dated, keep, host.now()))


def decide(wanted: Arguments, seen: Seen) -> Act | Leave:
    kept = f"all {len(seen.known)} {_kind(wanted)}s of {wanted.vm} are to be kept"
    return Act() if seen.may_go else Leave(kept)


def act(host: Host, wanted: Arguments, tell: Tell) -> None:
    asked = machines.hypervisor(host, wanted)
    for name in look(host, wanted).may_go:
        tell(f"removing {_kind(wanted)} {name}")
        if wanted.to:
            asked.remove_export(wanted.vm, name, wanted.to)
        else:
            asked.remove_snapshot(wanted.vm, name)


def judge(wanted: Arguments, before: Seen, now: Seen) -> Met | Unmet:
    gone = [name for name in before.may_go if name not in now.known]
    detail = json.dumps({"pruned": gone})
    if left := [name for name in before.may_go if name in now.known]:
        return Unmet(f"still there: {', '.join(left)}", detail)
    return Met(f"{len(gone)} removed, {len(now.known)} {_kind(wanted)}s are kept", detail)


def _kind(wanted: Arguments) -> str:
    return "export" if wanted.to else "snapshot"


prune = Operation(
    "vm.prune",
    "Remove snapshots or exports of a VM that need not be kept",
    Arguments,
    Seen,
    look,
    decide,
    act,
    judge,
    seconds=3600,
    in_plan=lambda wanted: (
        f"{wanted.hypervisor} at {wanted.at}: remove {_kind(wanted)}s of {wanted.vm}",
        f"named {wanted.prefix}-…, older than {wanted.within_s / 86400:g} days",
        f"but the newest of {wanted.daily} days, {wanted.weekly} weeks, {wanted.monthly} months",
    ),
    from_control=True,
    beside=True,
)
