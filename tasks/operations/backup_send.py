"""backup.send: a backup's folder from this machine to another one, over SSH.

Runs on the machine that keeps backups; `into` is on the other. Done means that the other
machine has counted the same SHA-256 over what arrived. It is there under its name only whole;
what a broken attempt left beside that name is gone on with, once its beginning was compared.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import PurePosixPath

from tasks.backup.pacing import heard
from tasks.host import Host, Ran
from tasks.operation import Act, Leave, Met, Operation, Refuse, Tell, Unmet
from tasks.operations._over_ssh import ask, demand, over_ssh

SSH_SECONDS, COPY_SECONDS = 30.0, 6 * 3600.0


@dataclass(frozen=True, slots=True)
class Arguments:
    backup: str  #: a folder on this machine
    into: str  #: a folder on the other, which it becomes
    address: str
    ssh_user: str
    ssh_key: str  #: on this machine
    ssh_port: int = 22
    ssh_known_hosts: str = ""  #: the agent's own, if not given; an unknown host is refused
    bytes_per_s: float = 0.0  #: no faster than that; 0 is as fast as it goes


@dataclass(frozen=True, slots=True)
class Seen:
    here: tuple[str, ...]  #: SHA-256 and name of each file; only names while nothing is there
    there: tuple[str, ...]
    fault: str = ""


def look(host: Host, wanted: Arguments) -> Seen:
    names = tuple(sorted(_files(host, wanted.backup)))
    if not names:
        return Seen((), (), f"{wanted.backup} is not there, or empty")
    asked = ("sh", "-c", _SUMS, "sh", wanted.into)
    there = _sums(ask(host, wanted, *asked, seconds=COPY_SECONDS))
    if not there:
        return Seen(names, ())
    argv = ("sh", "-c", _SUMS, "sh", wanted.backup)
    return Seen(_sums(host.run(argv, seconds=COPY_SECONDS)), there)


_SUMS = 'cd -- "$1" 2>/dev/null && sha256sum -- *'
_LISTED = ("-maxdepth", "1", "-type", "f", "-printf", "%s %f\\n")


def _sums(ran: Ran) -> tuple[str, ...]:
    return tuple(sorted(ran.out.splitlines())) if ran.ok else ()


def _files(host: Host, folder: str) -> dict[str, int]:
    ran = host.run(("find", folder, *_LISTED), seconds=SSH_SECONDS)
    return _sizes(ran.out) if ran.ok else {}


def _sizes(listed: str) -> dict[str, int]:
    pairs = (line.partition(" ") for line in listed.splitlines())
    return {name: int(size) for size, _, name in pairs}


def decide(_wanted: Arguments, seen: Seen) -> Act | Leave | Refuse:
    if seen.fault:
        return Refuse(seen.fault)
    return Leave("it is there already") if seen.here == seen.there else Act()


def act(host: Host, wanted: Arguments, tell: Tell) -> None:
    """Each file from where an earlier attempt left it; there under its name once all are whole."""
    parent, part = str(PurePosixPath(wanted.into).parent), f"{wanted.into}.part"
    ready = ("sh", "-c", _READY, "sh", parent, part, wanted.into)
    arrived = _sizes(demand(host, over_ssh(wanted, *ready), SSH_SECONDS).out)
    files = _files(host, wanted.backup)
    if strange := sorted(set(arrived) - set(files)):
        gone = ("rm", "-f", "--", *(f"{part}/{name}" for name in strange))
        demand(host, over_ssh(wanted, *gone), SSH_SECONDS)
    tell(f"copying {wanted.backup} to {wanted.address}")
    before, total = 0, sum(files.values())
    for name, size in sorted(files.items()):
        begin = _common(host, wanted, name, arrived.get(name, 0), size)
        if begin:
            tell(f"{name}: the first {begin} of {size} bytes are there already")
        if begin < size or name not in arrived:
            numbers = (str(begin), str(wanted.bytes_per_s), str(before + begin), str(total))
            into = over_ssh(wanted, "sh", "-c", _APPEND, "sh", f"{part}/{name}")
            argv = ("sh", "-c", _PIPE, "sh", sys.executable, f"{wanted.backup}/{name}", *numbers)
            on_line = heard("copying the backup", tell)
            demand(host, (*argv, *into), COPY_SECONDS, on_line)
        before += size
    put = over_ssh(wanted, "sh", "-c", _PUT, "sh", part, wanted.into)
    demand(host, put, COPY_SECONDS)


_READY = (
    'mkdir -p -m 700 -- "$1" && rm -rf -- "$3" && mkdir -p -m 700 -- "$2" && '
    'find "$2" -maxdepth 1 -type f -printf "%s %f\\n"'
)
_START = 'head -c "$1" -- "$2" | sha256sum'
_APPEND = 'cat >> "$1"'
_PUT = 'sync -- "$1"/* && mv -T -- "$1" "$2"'
# What could not be read is missed by the comparison afterwards.
_PIPE = (
    "exec 3>&1; p=$1; f=$2; b=$3; r=$4; d=$5; t=$6; shift 6; "
    '"$p" -m tasks.backup.feed "$f" "$b" "$r" "$d" "$t" | "$@" 3>&- >&2'
)


def _common(host: Host, wanted: Arguments, name: str, arrived: int, size: int) -> int:
    """How much of the file is there already; what is there and not its beginning is removed."""
    if not arrived:
        return 0
    part = f"{wanted.into}.part/{name}"
    if arrived <= size:
        argv = ("sh", "-c", _START, "sh", str(arrived))
        ours = demand(host, (*argv, f"{wanted.backup}/{name}"), COPY_SECONDS)
        theirs = demand(host, over_ssh(wanted, *argv, part), COPY_SECONDS)
        if ours.out == theirs.out:
            return arrived
    demand(host, over_ssh(wanted, "rm", "-f", "--", part), SSH_SECONDS)
    return 0


def judge(wanted: Arguments, _before: Seen, now: Seen) -> Met | Unmet:
    if now.fault:
        return Unmet(now.fault, final=True)
    if now.here == now.there:
        return Met(f"{wanted.into} on {wanted.address} has the same SHA-256 for each file")
    return Unmet(f"{wanted.into} on {wanted.address} is not what {wanted.backup} is")


send = Operation(
    "backup.send",
    "Copy a backup to the machine that it is restored on",
    Arguments,
    Seen,
    look,
    decide,
    act,
    judge,
    seconds=3600,
    endable=True,
    in_plan=lambda wanted: (
        f"mkdir -p -m 700 {wanted.into} on {wanted.address}, as {wanted.ssh_user}",
        f"each file of {wanted.backup} | ssh … cat >> {wanted.into}.part/FILE",
        "sha256sum of each file on both machines, compared",
    ),
)
