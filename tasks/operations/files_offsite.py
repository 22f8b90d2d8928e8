"""files.offsite: a proved snapshot is copied to a repository elsewhere, and proved there too.

Runs on the vault. Done means that the copy was restored from there, opened and compared.
"""

from __future__ import annotations

from dataclasses import dataclass

from tasks.backup import fileproof
from tasks.backup.restic import (
    EVERY_DAY,
    LOOK_SECONDS,
    Repository,
    demand,
    demand_version,
    is_day,
    point_id,
    snapshots,
    throttled,
)
from tasks.host import Host
from tasks.operation import Act, ActFailed, Leave, Met, Operation, Refuse, Tell, Unmet
from tasks.operations.files_prove import prove


@dataclass(frozen=True, slots=True)
class Arguments:
    job: str
    folder: str  #: the repository here
    password_file: str
    offsite: str  #: the other one: a path, sftp:…, s3:…, as restic takes it
    offsite_password_file: str
    bytes_per_s: float = 0.0  #: sends no more than that in a second; 0 is as much as it can
    days: tuple[int, ...] = EVERY_DAY  #: on which it is copied; 0 is Monday


@dataclass(frozen=True, slots=True)
class Seen:
    snapshot: str = ""  #: the newest here
    fault: str = ""
    proved: bool = False  #: its copy was
    point: str = ""
    today: bool = True  #: it is a day to copy


def look(host: Host, wanted: Arguments) -> Seen:
    here = Repository(wanted.folder, wanted.password_file)
    found = snapshots(host, here, wanted.job)
    if not found:
        return Seen(fault=f"{wanted.folder} has no snapshot of {wanted.job}")
    evidence = fileproof.known(host, wanted.folder, found[-1].id)
    if evidence is None or evidence.state != "verified":
        name = point_id(wanted.job, found[-1].id)
        return Seen(fault=f"{name} is not proved, and only what is proved is copied")
    return Seen(found[-1].id, "", evidence.offsite == wanted.offsite, evidence.told)


def look_before(host: Host, wanted: Arguments) -> Seen:
    """The day counts when it is begun: it may be another when it is done."""
    return look(host, wanted) if is_day(host, wanted.days) else Seen(today=False)


def decide(_wanted: Arguments, seen: Seen) -> Act | Leave | Refuse:
    if not seen.today:
        return Leave("today is no day to copy")
    if seen.fault:
        return Refuse(seen.fault)
    return Leave("its copy is there and proved") if seen.proved else Act()


def act(host: Host, wanted: Arguments, tell: Tell) -> None:
    demand_version(host)
    snapshot = look(host, wanted).snapshot
    there = Repository(wanted.offsite, wanted.offsite_password_file)
    source = ("--from-repo", wanted.folder, "--from-password-file", wanted.password_file)
    found = snapshots(host, there, wanted.job)
    if found is None:
        # The same chunks as here, or nothing that is there already would be known again.
        demand(host, there, "init", "--quiet", *source, "--copy-chunker-params")
    tell(f"copying {point_id(wanted.job, snapshot)} to {wanted.offsite}")
    host.run(there.command("unlock", "--quiet"), seconds=LOOK_SECONDS)
    demand(host, there, "copy", "--quiet", *throttled(wanted.bytes_per_s), *source, snapshot)
    copies = [e.id for e in snapshots(host, there, wanted.job) or () if e.original == snapshot]
    if not copies:
        raise ActFailed(f"{wanted.offsite} does not list the copy")
    tell("restoring the copy to a scratch folder, and comparing it")
    given = {"folder": wanted.folder, "location": wanted.offsite, "job": wanted.job}
    given |= {"password_file": wanted.offsite_password_file, "copy": copies[-1]}
    ran = prove(host, {**given, "snapshot": snapshot})
    if not ran.ok:
        raise ActFailed(ran.complaint)


def judge(wanted: Arguments, _before: Seen, now: Seen) -> Met | Unmet:
    if now.fault:
        return Unmet(now.fault, final=True)
    name = point_id(wanted.job, now.snapshot)
    if now.proved:
        return Met(f"the copy of {name} in {wanted.offsite} was restored and compared", now.point)
    return Unmet(f"{name} has no proved copy in {wanted.offsite}")


offsite = Operation(
    "files.offsite",
    "Copy a proved snapshot to a repository elsewhere, and prove the copy",
    Arguments,
    Seen,
    look,
    decide,
    act,
    judge,
    seconds=6 * 3600,
    endable=True,
    look_before=look_before,
    in_plan=lambda wanted: (
        f"restic copy of the newest snapshot from {wanted.folder} to {wanted.offsite}",
        "restic restore of the copy to a scratch folder; everything opened and compared",
    ),
)
