"""backup.send: a backup's folder from this machine to another one, over SSH.

Runs on the machine that keeps backups; `into` is on the other. Done means that the other
machine has counted the same SHA-256 over what arrived. It is there under its name only whole.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath

from tasks.host import Host, HostFault, Ran
from tasks.operation import Act, ActFailed, Leave, Met, Operation, Refuse, Tell, Unmet

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


@dataclass(frozen=True, slots=True)
class Seen:
    here: tuple[str, ...]  #: SHA-256 and name of each file
    there: tuple[str, ...]
    fault: str = ""


def look(host: Host, wanted: Arguments) -> Seen:
    here = _sums(host.run(("sh", "-c", _SUMS, "sh", wanted.backup), seconds=COPY_SECONDS))
    if not here:
        return Seen((), (), f"{wanted.backup} is not there, or empty")
    argv = ("sh", "-c", _SUMS, "sh", wanted.into)
    ran = host.run(_ssh(wanted, argv), seconds=COPY_SECONDS)
    if ran.exit_code == 255:
        raise HostFault(f"{wanted.ssh_user}@{wanted.address} over SSH: {ran.complaint}")
    return Seen(here, _sums(ran))


_SUMS = 'cd -- "$1" 2>/dev/null && sha256sum -- *'


def _sums(ran: Ran) -> tuple[str, ...]:
    return tuple(sorted(ran.out.splitlines())) if ran.ok else ()


def _options(wanted: Arguments) -> tuple[str, ...]:
    known = wanted.ssh_known_hosts
    hosts = ("-o", f"UserKnownHostsFile={known}") if known else ()
    return ("-o", "BatchMode=yes", "-o", "ConnectTimeout=10", *hosts, "-i", wanted.ssh_key)


def _ssh(wanted: Arguments, argv: tuple[str, ...]) -> tuple[str, ...]:
    way = ("-p", str(wanted.ssh_port), "--", f"{wanted.ssh_user}@{wanted.address}")
    return ("ssh", *_options(wanted), *way, shlex.join(argv))


def decide(_wanted: Arguments, seen: Seen) -> Act | Leave | Refuse:
    if seen.fault:
        return Refuse(seen.fault)
    return Leave("it is there already") if seen.here == seen.there else Act()


def act(host: Host, wanted: Arguments, tell: Tell) -> None:
    parent, part = str(PurePosixPath(wanted.into).parent), f"{wanted.into}.part"
    places = (parent, part, wanted.into)
    _demand(host, _ssh(wanted, ("sh", "-c", _READY, "sh", *places)), SSH_SECONDS)
    tell(f"copying {wanted.backup} to {wanted.address}")
    unpack = _ssh(wanted, ("tar", "-C", part, "-xf", "-"))
    _demand(host, ("sh", "-c", _PIPE, "sh", wanted.backup, *unpack), COPY_SECONDS)
    _demand(host, _ssh(wanted, ("mv", "-T", "--", part, wanted.into)), SSH_SECONDS)


_READY = 'mkdir -p -m 700 -- "$1" && rm -rf -- "$2" "$3" && mkdir -m 700 -- "$2"'
# What tar could not read is missed by the comparison afterwards.
_PIPE = 'from=$1; shift; tar -C "$from" -cf - . | "$@"'


def _demand(host: Host, argv: tuple[str, ...], seconds: float) -> None:
    ran = host.run(argv, seconds=seconds)
    if not ran.ok:
        raise ActFailed(f"the copy: {ran.complaint}")


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
    in_plan=lambda wanted: (
        f"mkdir -p -m 700 {wanted.into} on {wanted.address}, as {wanted.ssh_user}",
        f"tar -C {wanted.backup} -c . | ssh … tar -C {wanted.into} -x",
        "sha256sum of each file on both machines, compared",
    ),
)
