"""process.stop: no stray process of a pattern is left, by force if need be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tasks import processes
from tasks.host import Host
from tasks.operation import Act, ActFailed, Leave, Met, Operation, Refuse, Tell, Unmet
from tasks.processes import Process, count


@dataclass(frozen=True, slots=True)
class Arguments:
    process: str  #: a regular expression, searched for in the whole command line
    stop_seconds: float = 10.0  #: how long they may take to end before they are killed


@dataclass(frozen=True, slots=True)
class Seen:
    names: tuple[str, ...]  #: "pid@start time", which no later process can have
    lines: tuple[str, ...]
    fault: str = ""


def look(host: Host, wanted: Arguments) -> Seen:
    if fault := processes.fault(wanted.process):
        return Seen((), (), fault)
    found = processes.find(host, wanted.process)
    return Seen(
        tuple(f"{each.pid}@{each.started}" for each in found),
        tuple(f"{each.pid} {each.command}" for each in found),
    )


def decide(wanted: Arguments, seen: Seen) -> Act | Leave | Refuse:
    if seen.fault:
        return Refuse(seen.fault)
    return Act() if seen.names else Leave(f"no process matches {wanted.process!r}")


def act(host: Host, wanted: Arguments, tell: Tell) -> None:
    found = processes.find(host, wanted.process)
    _signal(host, "TERM", found)
    ends = host.now() + wanted.stop_seconds
    pause = 0.02
    while (left := _still_there(host, found)) and host.now() < ends:
        host.sleep(pause)
        pause = min(pause * 1.5, 0.5)
    if left:
        tell(f"killing {count(len(left))} that did not end in {wanted.stop_seconds:.0f} s")
        _signal(host, "KILL", left)


def _still_there(host: Host, found: Sequence[Process]) -> tuple[Process, ...]:
    return tuple(each for each in found if processes.start_time(host, each.pid) == each.started)


def _signal(host: Host, name: str, found: Sequence[Process]) -> None:
    if not found:
        return
    ran = host.run(("kill", "-s", name, "--", *(str(each.pid) for each in found)), seconds=10)
    # "No such process" is what we want; whatever else went wrong, the processes are still there.
    if not ran.ok and _still_there(host, found):
        raise ActFailed(f"kill -s {name}: {ran.complaint}")


def judge(_wanted: Arguments, before: Seen, now: Seen) -> Met | Unmet:
    left = [line for name, line in zip(now.names, now.lines, strict=True) if name in before.names]
    if left:
        return Unmet(f"still running: {'; '.join(left)}")
    since = f", and since then started: {'; '.join(now.lines)}" if now.lines else ""
    return Met(f"{count(len(before.names))} ended{since}", "\n".join(before.lines))


def in_plan(wanted: Arguments) -> tuple[str, ...]:
    return (
        f"kill -s TERM of every process that matches {wanted.process!r}",
        f"kill -s KILL of those that are left after {wanted.stop_seconds:.0f} s",
    )


stop = Operation(
    "process.stop",
    "End stray processes that match a pattern",
    Arguments,
    Seen,
    look,
    decide,
    act,
    judge,
    seconds=60,
    in_plan=in_plan,
)
