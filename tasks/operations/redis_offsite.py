"""redis.offsite: the newest proved backup of a Redis goes to a restic repository elsewhere.

Runs on the vault. Done means that the dump was read back from there and has its own SHA-256: it
was proved here under the same one.
"""

from __future__ import annotations

from dataclasses import dataclass

from tasks.backup import proving, telling
from tasks.backup.manifest import NotAManifest, State
from tasks.backup.proving import DUMP
from tasks.backup.restic import (
    COPY_SECONDS,
    EVERY_DAY,
    LOOK_SECONDS,
    Repository,
    demand,
    demand_version,
    heard,
    is_day,
    snapshots,
    throttled,
)
from tasks.host import Host
from tasks.operation import Act, Leave, Met, Operation, Refuse, Tell, Unmet
from tasks.operations._redis_backups import backups_in


@dataclass(frozen=True, slots=True)
class Arguments:
    job: str
    into: str  #: the folder for this Redis's backups
    offsite: str  #: a path, sftp:…, s3:…, as restic takes it
    offsite_password_file: str
    bytes_per_s: float = 0.0  #: sends no more than that in a second; 0 is as much as it can
    days: tuple[int, ...] = EVERY_DAY  #: on which it is copied; 0 is Monday


@dataclass(frozen=True, slots=True)
class Seen:
    folder: str = ""  #: of the newest backup
    fault: str = ""
    sha256: str = ""  #: of its dump
    there: str = ""  #: of the dump as it is read from there
    point: str = ""
    today: bool = True  #: it is a day to copy


def look(host: Host, wanted: Arguments) -> Seen:
    names = backups_in(host, wanted.into)
    if not names:
        return Seen(fault=f"there is no backup in {wanted.into}")
    folder = f"{wanted.into}/{names[-1]}"
    try:
        known = proving.read_manifest(host, folder)
    except NotAManifest as fault:
        return Seen(folder, str(fault))
    if known.state is not State.VERIFIED:
        return Seen(folder, f"{known.id} is {known.state}, and only what is proved is copied")
    there = _read_back(host, wanted, folder)
    elsewhere = wanted.offsite if there == known.sha256 else ""
    point = telling.restore_point(folder, known, elsewhere)
    return Seen(folder, "", known.sha256, there, point)


def _read_back(host: Host, wanted: Arguments, folder: str) -> str:
    """Empty where it is not there; what restic cannot read has another SHA-256."""
    repository = Repository(wanted.offsite, wanted.offsite_password_file)
    stored = snapshots(host, repository, wanted.job) or ()
    of_it = [each for each in stored if each.path == folder]
    if not of_it:
        return ""
    words = ("dump", "--quiet", "--no-lock", of_it[-1].id, f"{folder}/{DUMP}")
    dump = repository.command(*words)
    argv = ("sh", "-c", '"$@" | sha256sum', "sh", *dump)
    return host.run(argv, seconds=COPY_SECONDS).out.partition(" ")[0]


def look_before(host: Host, wanted: Arguments) -> Seen:
    """The day counts when it is begun: it may be another when it is done."""
    return look(host, wanted) if is_day(host, wanted.days) else Seen(today=False)


def decide(_wanted: Arguments, seen: Seen) -> Act | Leave | Refuse:
    if not seen.today:
        return Leave("today is no day to copy")
    if seen.fault:
        return Refuse(seen.fault)
    return Leave(f"{seen.folder} is there already") if seen.there == seen.sha256 else Act()


def act(host: Host, wanted: Arguments, tell: Tell) -> None:
    demand_version(host)
    folder = look(host, wanted).folder
    repository = Repository(wanted.offsite, wanted.offsite_password_file)
    if snapshots(host, repository, wanted.job) is None:
        demand(host, repository, "init", "--quiet")
    tell(f"pushing {folder} to {wanted.offsite}")
    # Stale locks alone.
    host.run(repository.command("unlock", "--quiet"), seconds=LOOK_SECONDS)
    words = (*throttled(wanted.bytes_per_s), "--json", "--tag", wanted.job, "--host", wanted.job)
    on_line = heard("pushing it elsewhere", tell)
    demand(host, repository, "backup", *words, folder, on_line=on_line)


def judge(wanted: Arguments, _before: Seen, now: Seen) -> Met | Unmet:
    if now.fault:
        return Unmet(now.fault, final=True)
    if now.there == now.sha256:
        said = f"{now.folder} was read back from {wanted.offsite} and has its own SHA-256"
        return Met(said, now.point)
    if now.there:
        remedy = "`restic check --read-data` of it shows what is damaged"
        return Unmet(f"{now.folder} is not the same in {wanted.offsite}; {remedy}", final=True)
    return Unmet(f"{now.folder} is not in {wanted.offsite}", final=True)


offsite = Operation(
    "redis.offsite",
    "Push the newest proved backup of Redis to a repository elsewhere",
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
        f"restic backup of the newest proved backup in {wanted.into} to {wanted.offsite}",
        f"restic dump of its {DUMP} from there, with its own SHA-256",
    ),
)
