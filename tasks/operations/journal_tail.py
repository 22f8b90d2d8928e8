"""journal.tail: the end of a unit's journal, kept in the timeline. A diagnosis."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.host import Host, HostFault
from tasks.operation import Met, only_look


@dataclass(frozen=True, slots=True)
class Arguments:
    unit: str
    lines: int = 50


@dataclass(frozen=True, slots=True)
class Seen:
    text: str


def look(host: Host, wanted: Arguments) -> Seen:
    ran = host.run(
        (
            "journalctl",
            f"--unit={wanted.unit}",
            f"--lines={wanted.lines}",
            "--output=short-iso",
            "--no-pager",
            "--quiet",
        ),
        seconds=15,
    )
    if not ran.ok:
        raise HostFault(f"the journal of {wanted.unit} cannot be read: {ran.complaint}")
    return Seen(ran.out.strip())


def judge(wanted: Arguments, now: Seen) -> Met:
    if not now.text:
        return Met(f"the journal has nothing of {wanted.unit}")
    return Met(f"the last {len(now.text.splitlines())} lines of {wanted.unit}'s journal", now.text)


tail = only_look(
    "journal.tail",
    "Keep the end of a service's journal",
    Arguments,
    Seen,
    look,
    judge,
    seconds=20,
    diagnosis=True,
)
