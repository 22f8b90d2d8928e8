"""log.tail: the end of a log file, kept in the timeline. A diagnosis."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.host import Host
from tasks.operation import Met, only_look


@dataclass(frozen=True, slots=True)
class Arguments:
    log: str
    lines: int = 50


@dataclass(frozen=True, slots=True)
class Seen:
    text: str | None  #: None when there is no such file


def look(host: Host, wanted: Arguments) -> Seen:
    text = host.read(wanted.log, last=64 * 1024)
    if text is None:
        return Seen(None)
    return Seen("\n".join(text.splitlines()[-wanted.lines :]))


def judge(wanted: Arguments, now: Seen) -> Met:
    if now.text is None:
        return Met(f"there is no file {wanted.log}")
    if not now.text.strip():
        return Met(f"{wanted.log} is empty")
    return Met(f"the last {len(now.text.splitlines())} lines of {wanted.log}", now.text)


tail = only_look(
    "log.tail",
    "Keep the end of a log file",
    Arguments,
    Seen,
    look,
    judge,
    seconds=20,
    diagnosis=True,
)
