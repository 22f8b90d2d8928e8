"""process.list: the processes whose command line matches a pattern. A diagnosis."""

from __future__ import annotations

from dataclasses import dataclass

from tasks import processes
from tasks.host import Host
from tasks.operation import Act, Met, Refuse, only_look


@dataclass(frozen=True, slots=True)
class Arguments:
    process: str  #: a regular expression, searched for in the whole command line


@dataclass(frozen=True, slots=True)
class Seen:
    lines: tuple[str, ...]
    fault: str = ""


def look(host: Host, wanted: Arguments) -> Seen:
    if fault := processes.fault(wanted.process):
        return Seen((), fault)
    found = processes.find(host, wanted.process)
    return Seen(tuple(f"{each.pid} {each.command}" for each in found))


def decide(_wanted: Arguments, seen: Seen) -> Act | Refuse:
    return Refuse(seen.fault) if seen.fault else Act()


def judge(wanted: Arguments, now: Seen) -> Met:
    if not now.lines:
        return Met(f"no process matches {wanted.process!r}")
    found = processes.count(len(now.lines))
    return Met(f"found {found} of {wanted.process!r}", "\n".join(now.lines))


listing = only_look(
    "process.list",
    "Say which processes match a pattern",
    Arguments,
    Seen,
    look,
    judge,
    seconds=15,
    diagnosis=True,
    decide=decide,
)
