"""redis.doctor: what will bite this Redis's backups or restores. Changes nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from tasks.backup.asking import Where
from tasks.backup.discovery import discover
from tasks.backup.doctor import Severity, doctor
from tasks.host import Host
from tasks.operation import Met, only_look


@dataclass(frozen=True, slots=True)
class Arguments:
    unit: str
    address: str
    port: int = 6379
    password_file: str = ""
    user: str = ""  #: an ACL user; empty for the default one
    tls: bool = False
    ca_file: str = ""
    pin_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    findings: tuple[str, ...]  #: a line each, the gravest first
    grave: int  #: of them, those with which a restore is refused


def look(host: Host, wanted: Arguments) -> Seen:
    found = doctor(discover(host, Where(**asdict(wanted))))
    lines = tuple(f"{e.severity}: {e.name}: {e.what}; {e.remedy}" for e in found)
    return Seen(lines, sum(each.severity is Severity.REFUSE for each in found))


def judge(_wanted: Arguments, seen: Seen) -> Met:
    if not seen.findings:
        return Met("nothing is found that would bite a backup or a restore")
    grave = f", {seen.grave} of them keep a restore from beginning" if seen.grave else ""
    return Met(f"{len(seen.findings)} findings{grave}", "\n".join(seen.findings))


examine = only_look(
    "redis.doctor",
    "Find what will bite this Redis's backups or restores",
    Arguments,
    Seen,
    look,
    judge,
    seconds=60,
    in_plan=lambda wanted: (
        f"systemctl show {wanted.unit}, and the configuration file that it names",
        f"INFO, CONFIG GET and MODULE LIST at {wanted.address}:{wanted.port}",
    ),
)
