"""redis.mend: what keeps Redis from saving or starting: its folder's owner, and a full disk.

It destroys nothing: it gives Redis's own data back to Redis, and only where room is short
deletes what is nobody's any more (half-written files of servers that have ended) and the
journal's oldest part, on the same file system. The rest is for a person, who is told what is
largest. Where the folder is not known it leaves everything as it is: a recovery must not fail
because it is not told enough.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace
from posixpath import join

from tasks import redis_folder
from tasks.host import Host, HostFault
from tasks.operation import Act, ActFailed, Leave, Met, Operation, Refuse, Tell, Unmet

JOURNAL = "/var/log/journal"  #: where it is kept over a start; elsewhere it is in memory
JOURNAL_KEPT_MB = 64
_VACUUM = ("journalctl", "--rotate", f"--vacuum-size={JOURNAL_KEPT_MB}M")
LARGEST = 5  #: of what takes the space are told
ASK_SECONDS, DELETE_SECONDS, SIZES_SECONDS = 5.0, 30.0, 20.0

#: From the right, because a device's name may have spaces: available, the mount point.
_DF_LINE = re.compile(r"\s\d+\s+\d+\s+(\d+)\s+(?:\d+%|-)\s+(/.*)$")
_JOURNAL_SIZE = re.compile(r"take up ([\d.]+)([BKMGT])")
_UNITS = {"B": 1 / 1024**2, "K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2}


@dataclass(frozen=True, slots=True)
class Arguments:
    unit: str
    data: str = ""  #: the folder with its data, where unit and configuration do not tell it
    free_mb: int = 32  #: with less, its disk counts as full


@dataclass(frozen=True, slots=True)
class Seen:
    folder: str = ""
    user: str = ""
    owner: str = ""  #: the unit's user and group, as chown takes them
    rights: str = ""  #: the folder's, for people
    unusable: tuple[str, ...] = ()  #: what Redis needs and may not use, by path
    disk: str = ""  #: the mount point of its file system
    free_mb: int = 0
    leftovers: tuple[str, ...] = ()  #: looked for only where room is short, as is the rest
    leftover_mb: int = 0
    journal_mb: int = 0  #: on the same file system
    largest: tuple[str, ...] = ()
    unknown: str = ""  #: why nothing can be said
    fault: str = ""  #: what a person must mend


def look_before(host: Host, wanted: Arguments) -> Seen:
    its = redis_folder.server(host, wanted.unit, wanted.data)
    if its.unknown:
        return Seen(unknown=its.unknown)
    who = redis_folder.groups(host, its)
    if who is None:
        return Seen(fault=f"its user {its.user} is not on this machine; nothing was changed")
    found = redis_folder.entries(host, its.folder)
    if not found:
        # An empty folder made here would let Redis start without its data, and look well.
        return Seen(fault=f"its data folder {its.folder} is not there; is its disk mounted?")
    top, (user, groups) = found[0], who
    disk, free_mb, beside_journal = _room(host, its.folder)
    short = free_mb < wanted.free_mb
    nobodys = redis_folder.leftovers(host, its, found) if short else ()
    return Seen(
        its.folder,
        user,
        f"{user}:{its.group}",
        f"{top.user}:{top.group} {top.mode:04o}",
        tuple(join(its.folder, name) for name in redis_folder.unusable(found, user, groups)),
        disk,
        free_mb,
        tuple(join(its.folder, each.name) for each in nobodys),
        sum(each.size for each in nobodys) // 1024**2,
        _journal_mb(host) if short and beside_journal else 0,
    )


def look(host: Host, wanted: Arguments) -> Seen:
    """With what takes the space, which costs the more the fuller the disk is."""
    seen = look_before(host, wanted)
    if seen.unknown or seen.fault or seen.free_mb >= wanted.free_mb:
        return seen
    return replace(seen, largest=_largest(host, seen.disk))


def _room(host: Host, folder: str) -> tuple[str, int, bool]:
    """The folder's disk, the megabytes that others than root may still write there, and
    whether the journal is on it."""
    ran = host.run(("df", "-P", "-k", "--", folder, JOURNAL), seconds=ASK_SECONDS)
    lines = [match for each in ran.out.splitlines() if (match := _DF_LINE.search(each))]
    # A machine may keep no journal: then there is one line, and a complaint about the other.
    if not lines:
        raise HostFault(f"the room on the disk of {folder} is not known: {ran.complaint}")
    (room, disk), *others = ((int(each[1]) // 1024, each[2]) for each in lines)
    return disk, room, any(other == disk for _, other in others)


def _journal_mb(host: Host) -> int:
    ran = host.run(("journalctl", "--disk-usage"), seconds=ASK_SECONDS)
    size = _JOURNAL_SIZE.search(ran.out) if ran.ok else None
    return int(float(size[1]) * _UNITS[size[2]]) if size else 0


def _largest(host: Host, disk: str) -> tuple[str, ...]:
    """What takes the most there; of a large disk, as much as was found before the deadline."""
    options = ("--all", "--one-file-system", "--block-size=1M", "--threshold=4M", "--max-depth=5")
    ran = host.run(("du", *options, "--", disk), seconds=SIZES_SECONDS)
    sizes: dict[str, int] = {}
    for each in ran.out.splitlines():
        size, _, path = each.partition("\t")
        if size.isdecimal():
            sizes[path] = int(size)
    # A folder only repeats what is in it, unless it is full of small things.
    whole = [path for path in sizes if not any(e.startswith(f"{path.rstrip('/')}/") for e in sizes)]
    first = sorted(whole, key=lambda path: -sizes[path])[:LARGEST]
    return tuple(f"{path} {sizes[path]} MB" for path in first)


def decide(wanted: Arguments, seen: Seen) -> Act | Leave | Refuse:
    if seen.fault:
        return Refuse(f"{wanted.unit}: {seen.fault}")
    if seen.unknown:
        return Leave(f"nothing was learned: {seen.unknown}")
    if seen.unusable or seen.free_mb < wanted.free_mb:
        return Act()
    return Leave(_well(seen))


def act(host: Host, wanted: Arguments, tell: Tell) -> None:
    seen = look_before(host, wanted)
    if seen.unusable:
        tell(f"giving {', '.join(seen.unusable)} to {seen.user}; the folder was {seen.rights}")
        _do(host, "chown", "--no-dereference", "--", seen.owner, *seen.unusable)
        _do(host, "chmod", "--", "u+rwX", *seen.unusable)
    if seen.leftovers and seen.free_mb < wanted.free_mb:
        tell(f"deleting half-written files of ended servers: {', '.join(seen.leftovers)}")
        _do(host, "rm", "-f", "--", *seen.leftovers)
    # Its end, which tells of the failure, is kept; rotated, because only old files can go.
    if seen.journal_mb > JOURNAL_KEPT_MB and seen.free_mb < wanted.free_mb:
        _do(host, *_VACUUM)


def _do(host: Host, *argv: str) -> None:
    ran = host.run(argv, seconds=DELETE_SECONDS)
    if not ran.ok:
        raise ActFailed(f"{argv[0]}: {ran.complaint}")


def judge(wanted: Arguments, before: Seen, now: Seen) -> Met | Unmet:
    if reason := now.fault or now.unknown:
        return Unmet(f"{wanted.unit}: {reason}", final=True)
    if now.unusable:
        return Unmet(f"{now.user} still may not use {', '.join(now.unusable)}", final=True)
    if now.free_mb < wanted.free_mb:
        largest = ", ".join(now.largest) or "not known"
        return Unmet(
            f"{now.folder} has {now.free_mb} MB free, and fewer than {wanted.free_mb} MB count as "
            f"full. A person must make room; the largest there: {largest}",
            final=True,
        )
    done = []
    if before.unusable:
        done.append(f"given to {now.user}: {', '.join(before.unusable)} (was {before.rights})")
    if before.leftovers:
        number = len(before.leftovers)
        words = "a half-written file" if number == 1 else f"{number} half-written files"
        done.append(f"deleted {words} of ended servers, {before.leftover_mb} MB")
    return Met("; ".join([*done, _well(now)]), "\n".join(before.leftovers))


def _well(seen: Seen) -> str:
    return f"{seen.user} may use {seen.folder} ({seen.rights}), and {seen.free_mb} MB are free"


def in_plan(wanted: Arguments) -> tuple[str, ...]:
    folder = wanted.data or f"the data folder of {wanted.unit}"
    nobodys = "temp-PID.rdb and temp-rewriteaof-PID.aof of ended servers"
    return (
        f"if {wanted.unit}'s user may not use it: chown and chmod u+rwX of {folder} and its data",
        f"with less than {wanted.free_mb} MB free: rm of {nobodys}; " + shlex.join(_VACUUM),
    )


mend = Operation(
    "redis.mend",
    "Give Redis its folder back, and make room of what is nobody's",
    Arguments,
    Seen,
    look,
    decide,
    act,
    judge,
    seconds=120,
    look_before=look_before,
    in_plan=in_plan,
)
