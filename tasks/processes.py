"""Finding processes by a pattern over their command lines, and telling one from its successor.

What lives here: the look at the process table. What must not: ending any of them.
A process is named by its pid *and* start time, because a pid is given again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tasks.host import Host, HostFault

#: What is kept of a command line; some are as long as a book.
SHOWN = 300

_LIST = ("ps", "-e", "-ww", "-o", "pid=,ppid=,args=")


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    started: int  #: in clock ticks since boot, as /proc/PID/stat has it
    command: str


def fault(pattern: str) -> str:
    """Why this is no usable pattern, or nothing."""
    try:
        if re.search(pattern, ""):
            return f"the process pattern {pattern!r} matches every process"
    except re.error as error:
        return f"the process pattern {pattern!r} is no regular expression: {error}"
    return ""


def count(number: int) -> str:
    return "1 process" if number == 1 else f"{number} processes"


def find(host: Host, pattern: str) -> tuple[Process, ...]:
    """The processes that match, without init, the one that asks and its ancestors."""
    ran = host.run(_LIST, seconds=10)
    if not ran.ok:
        raise HostFault(f"the processes cannot be listed: {ran.complaint}")
    parents: dict[int, int] = {}
    commands: dict[int, str] = {}
    for line in ran.out.splitlines():
        words = line.split(None, 2)
        parents[int(words[0])] = int(words[1])
        commands[int(words[0])] = words[2] if len(words) > 2 else ""
    spared = {1}
    # The listing command is in its own list: from it upwards are we, whatever way we came.
    for pid in (pid for pid, command in commands.items() if command == " ".join(_LIST)):
        while pid in parents and pid not in spared:
            spared.add(pid)
            pid = parents[pid]
    found = []
    for pid, command in commands.items():
        if pid in spared or not re.search(pattern, command):
            continue
        if (started := start_time(host, pid)) is not None:
            found.append(Process(pid, started, command[:SHOWN]))
    return tuple(found)


def start_time(host: Host, pid: int) -> int | None:
    """When the process that has this pid now was started; None when there is none."""
    stat = host.read(f"/proc/{pid}/stat")
    if not stat:
        return None
    # The command name in parentheses may itself contain spaces and parentheses.
    fields = stat.rpartition(")")[2].split()
    # A zombie has ended: it only waits for its parent to notice.
    return None if fields[0] == "Z" else int(fields[19])
