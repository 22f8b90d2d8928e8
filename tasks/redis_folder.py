"""Where a unit's Redis keeps its data, who may use that folder, and what lies in it.

What lives here: reading it from systemd, from Redis's configuration and from the folder. What
must not: changing anything, and how much room is wanted (operations/redis_mend.py).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from posixpath import basename, join, normpath

from tasks import systemd
from tasks.host import Host, HostFault

PROPERTIES = (
    *("User", "Group", "WorkingDirectory", "ExecStart"),
    *("MainPID", "ExecMainStartTimestampMonotonic"),
)
LISTED = r"%y %u %g %m %s %T@ %P\0"  #: of `find`; ended by what no name can have in it
FIND_SECONDS = 10.0
#: Everybody's: a Redis that works there by mistake must not become their owner.
_NOT_ITS_OWN = frozenset(
    {"/", "/boot", "/dev", "/etc", "/home", "/media", "/mnt", "/opt", "/proc", "/root", "/run"}
    | {"/srv", "/sys", "/tmp", "/usr", "/usr/local", "/var", "/var/lib", "/var/log", "/var/tmp"}  # noqa: S108 named to be left alone
)
#: What a snapshot, a rewrite or a replica's first copy writes until it is whole. The last
#: number is the pid of whoever writes it.
_LEFTOVER = re.compile(r"temp-(?:\d+\.)?(\d+)\.rdb|temp-rewriteaof-(?:bg-)?(\d+)\.aof")
#: What `id` calls users and groups: a number, and the name in brackets if it has one.
_NAMED = re.compile(r"(?:uid=|gid=|groups=|,)\d+\(([^)]*)\)")
_READ, _WRITE, _ALL = 4, 6, 7


@dataclass(frozen=True, slots=True)
class Server:
    """What the unit says of its Redis. Without a folder, `unknown` says why."""

    user: str  #: root where the unit names none
    group: str  #: empty: the user's own
    pid: int  #: 0 where it does not run
    started: float  #: in seconds of uptime
    folder: str
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file or folder, named from the data folder; that itself has no name."""

    kind: str  #: f, d or another of find's letters
    user: str
    group: str
    mode: int
    size: int
    written: float
    name: str


def server(host: Host, unit: str, data: str) -> Server:
    """`data`, if given, goes before what the unit and its configuration say."""
    ran = host.run(
        ("systemctl", "show", f"--property={','.join(PROPERTIES)}", "--", unit),
        seconds=systemd.ANSWER_SECONDS,
    )
    if not ran.ok:
        raise HostFault(f"systemd could not be asked about {unit}: {systemd.first_line(ran)}")
    said = dict(line.partition("=")[::2] for line in ran.out.splitlines())
    folder = data or _folder(host, said)
    unknown = "" if folder else f"where {unit} keeps its data is not known; give `data`"
    if folder in _NOT_ITS_OWN:
        unknown = f"{folder} is not a folder of Redis alone; give `data`"
    return Server(
        said.get("User") or "root",
        said.get("Group", ""),
        int(said.get("MainPID") or 0),
        int(said.get("ExecMainStartTimestampMonotonic") or 0) / 1e6,
        folder,
        unknown,
    )


def _folder(host: Host, said: dict[str, str]) -> str:
    """As Redis finds it: its command line, then its configuration, then where it is started."""
    words = said.get("ExecStart", "").partition("argv[]=")[2].partition(" ;")[0].split()
    home = said.get("WorkingDirectory", "").lstrip("-!")
    given = [value for word, value in pairwise(words) if word == "--dir"]
    file = next((word for word in words if word.endswith(".conf")), "")
    if not given and file:
        text = host.read(join(home, file))
        if text is None or (configured := _configured(text)) is None:
            return ""
        given = configured
    folder = join(home, given[-1]) if given else home
    return normpath(folder) if folder.startswith("/") else ""


def _configured(text: str) -> list[str] | None:
    """Every `dir` of a configuration; None where an included file may have the last word."""
    found: list[str] | None = []
    for line in text.splitlines():
        try:
            words = [] if line.lstrip().startswith("#") else shlex.split(line)
        except ValueError:  # not a line of Redis's either, or of another setting
            continue
        if words[:1] and words[0].lower() == "include":
            found = None
        elif words[1:] and words[0].lower() == "dir":
            found = [*(found or ()), words[1]]
    return found


def entries(host: Host, folder: str) -> tuple[Entry, ...]:
    """The folder itself, what is in it, and what is in its folders; nothing if it is not there."""
    ran = host.run(
        ("find", "-H", folder, "-maxdepth", "2", "-printf", LISTED), seconds=FIND_SECONDS
    )
    found = []
    for line in ran.out.split("\0")[:-1]:
        kind, user, group, mode, size, written, name = line.split(" ", 6)
        found.append(Entry(kind, user, group, int(mode, 8), int(size), float(written), name))
    # A file that goes while its folder is read is a complaint of find's, and no matter.
    if not (found and found[0].name == "") and "No such file" not in ran.err:
        raise HostFault(f"{folder} could not be looked into: {ran.complaint}")
    return tuple(found)


def groups(host: Host, its: Server) -> tuple[str, tuple[str, ...]] | None:
    """The name of the unit's user and the groups that it is in; None where there is no such."""
    ran = host.run(("id", "--", its.user), seconds=systemd.ANSWER_SECONDS)
    if not ran.ok:
        return None
    uid, *others = _NAMED.findall(ran.out)
    return uid, (*others, *([its.group] if its.group else []))


def unusable(found: Sequence[Entry], user: str, groups: Sequence[str]) -> tuple[str, ...]:
    """The names of what Redis needs there and may not use."""
    if user == "root":
        return ()
    return tuple(
        each.name for each, need in _needs(found) if _may(each, user, groups) & need != need
    )


def _needs(found: Sequence[Entry]) -> Iterator[tuple[Entry, int]]:
    """Redis's own data with the rights that it needs; strangers and kept old data are not."""
    logs = {each.name.rpartition("/")[0] for each in found if each.name.endswith(".manifest")}
    for each in found:
        above, _, name = each.name.rpartition("/")
        if not each.name or (each.kind == "d" and each.name in logs):
            yield each, _ALL
        elif each.kind == "f" and (not above or above in logs) and name[:5] != "temp-":
            if name.endswith((".rdb", ".manifest")):
                # Both are replaced and never changed, so the folder's rights do.
                yield each, _READ
            elif name.endswith(".aof"):
                yield each, _WRITE


def _may(entry: Entry, user: str, groups: Sequence[str]) -> int:
    if entry.user == user:
        return entry.mode >> 6 & 7
    return entry.mode >> (3 if entry.group in groups else 0) & 7


def leftovers(host: Host, its: Server, found: Sequence[Entry]) -> tuple[Entry, ...]:
    """Half-written files of servers that have ended: nobody has them open any more, and a
    server that runs now was started after they were written."""
    named = [
        (each, pid[1] or pid[2])
        for each in found
        if each.kind == "f" and (pid := _LEFTOVER.fullmatch(each.name))
    ]
    if not named:
        return ()
    started = _started(host, its) if its.pid else float("inf")
    places = [f"/proc/{pid}/fd" for pid in dict.fromkeys(pid for _, pid in named)]
    asked = ("find", *places, "-maxdepth", "1", "-type", "l", "-printf", r"%l\0")
    ran = host.run(asked, seconds=FIND_SECONDS)
    # That a process is not there is the common case; not being let in tells nothing.
    if ran.exit_code not in (0, 1) or "Permission denied" in ran.err:
        raise HostFault(f"who has temporary files open could not be seen: {ran.complaint}")
    in_use = {basename(each) for each in ran.out.split("\0")}
    return tuple(e for e, _ in named if e.written < started and e.name not in in_use)


def _started(host: Host, its: Server) -> float:
    """When it was started, on the clock that files are dated by."""
    uptime = systemd.uptime(host)
    ran = host.run(("date", "+%s.%N"), seconds=systemd.ANSWER_SECONDS)
    if not ran.ok:
        raise HostFault(f"this machine does not tell its time: {ran.complaint}")
    return float(ran.out) - (uptime - its.started)
