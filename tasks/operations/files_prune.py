"""files.prune: snapshots that need not be kept any more are removed from the vault's repository.

Comes after a snapshot that was just proved, in the same chain. Only the vault removes: what a
machine pushes through its append-only door cannot push others out, since what is kept is counted
by age and not by number.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from tasks.backup.restic import (
    COPY_SECONDS,
    LOOK_SECONDS,
    Repository,
    complaint,
    forgetting,
    locks,
    may_go,
    point_id,
    snapshots,
)
from tasks.host import Host
from tasks.operation import Act, ActFailed, Leave, Met, Operation, Refuse, Tell, Unmet
from tasks.operations.files_prove import CLOCKS_SECONDS


@dataclass(frozen=True, slots=True)
class Arguments:
    job: str
    folder: str  #: the repository, or another one with the copies
    password_file: str
    within_s: float  #: what is younger stays
    daily: int  #: days for which one of each is kept
    weekly: int
    monthly: int

    @property
    def rules(self) -> tuple[str, ...]:
        found = [f"--keep-within={max(1, round(self.within_s / 3600))}h"]
        if self.daily:
            found.append(f"--keep-within-daily={self.daily}d")
        if self.weekly:
            found.append(f"--keep-within-weekly={7 * self.weekly}d")
        if self.monthly:
            found.append(f"--keep-within-monthly={self.monthly}m")
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Seen:
    snapshots: tuple[str, ...]
    may_go: tuple[str, ...] = ()
    locks: tuple[str, ...] = ()
    fault: str = ""


def look(host: Host, wanted: Arguments) -> Seen:
    repository = Repository(wanted.folder, wanted.password_file)
    found = snapshots(host, repository, wanted.job)
    if not found:
        return Seen((), fault=f"{wanted.folder} has no snapshot of {wanted.job}")
    if found[-1].taken_at > host.now() + CLOCKS_SECONDS:
        # All others would be old beside it.
        name = point_id(wanted.job, found[-1].id)
        return Seen((), fault=f"{name} is of a time to come; see to the clock of its machine")
    going = may_go(host, repository, wanted.job, wanted.rules)
    held = locks(host, repository)
    return Seen(tuple(e.id for e in found), tuple(e.id for e in going), held)


def decide(_wanted: Arguments, seen: Seen) -> Act | Leave | Refuse:
    if seen.fault:
        return Refuse(seen.fault)
    if not seen.may_go:
        return Leave(f"all {len(seen.snapshots)} snapshots are to be kept")
    return Act()


def act(host: Host, wanted: Arguments, tell: Tell) -> None:
    repository = Repository(wanted.folder, wanted.password_file)
    # Stale ones alone: a lock is stale after half an hour, or when its process is dead here.
    host.run(repository.command("unlock", "--quiet"), seconds=LOOK_SECONDS)
    if locks(host, repository):
        raise ActFailed("somebody else is at work in it")
    tell(f"removing what need not be kept from {wanted.folder}")
    ran = host.run(repository.command(*forgetting(wanted.job, wanted.rules)), seconds=COPY_SECONDS)
    if not ran.ok:
        raise ActFailed(f"restic forget: {complaint(ran)}")


def judge(wanted: Arguments, before: Seen, now: Seen) -> Met | Unmet:
    if now.fault:
        return Unmet(now.fault, final=True)
    gone = [point_id(wanted.job, each) for each in before.may_go if each not in now.snapshots]
    detail = json.dumps({"pruned": gone}) if gone else ""
    if now.may_go and now.locks:
        # No harm is done: they go next time, and a lock is stale within half an hour.
        return Met(f"{len(now.may_go)} snapshots stay for now, the repository is locked", detail)
    if now.may_go:
        return Unmet(f"still there: {len(now.may_go)} snapshots that may go", detail, final=True)
    return Met(f"{len(gone)} removed, {len(now.snapshots)} snapshots are kept", detail)


prune = Operation(
    "files.prune",
    "Remove snapshots that need not be kept any more",
    Arguments,
    Seen,
    look,
    decide,
    act,
    judge,
    seconds=3600,
    in_plan=lambda wanted: (f"restic forget --prune {' '.join(wanted.rules)} in {wanted.folder}",),
)
