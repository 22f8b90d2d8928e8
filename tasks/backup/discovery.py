"""Everything about one Redis that a backup or a restore needs, read from its unit and from itself.

What lives here: asking and parsing. What must not: judging what was found (doctor.py). Nothing is
assumed: unit, user, folder, file names and modules differ between packages and are wrong in
half of the scripts that hard-code them. A server that is down is read from its unit's command
and its configuration file; what could not be learned is empty, and says so.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from tasks.backup import fencing, redisconf
from tasks.backup.asking import ANSWER_SECONDS, LOCKED, LockedOut, Where, ask, module_lines
from tasks.backup.fencing import Fence
from tasks.backup.scratch import Programs
from tasks.host import Host, HostFault
from tasks.resp import ErrorReply

#: Asked one by one: CONFIG GET * would also hand out the passwords.
ASKED = (*(name for name in redisconf.DEFAULTS if name != "cluster-enabled"), "aclfile")
SERVERS = ("redis-server", "valkey-server", "keydb-server")
PROPERTIES = (
    "LoadState",
    "Type",
    "User",
    "Group",
    "Restart",
    "TimeoutStartUSec",
    "TimeoutStopUSec",
    "MemoryMax",
    "MemoryLimit",
    "WorkingDirectory",
    "ExecStart",
)


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file's or folder's owner, so that what takes its place can be the same."""

    path: str
    bytes: int
    user: int
    group: int
    mode: str  #: octal


@dataclass(frozen=True, slots=True)
class Found:
    """One Redis as it is now. Sizes in bytes, times in seconds; None is infinite or not known."""

    where: Where  #: at which it was asked: behind the fence another address than its own
    unit_type: str = ""
    user: str = ""
    group: str = ""
    restart: str = ""
    start_timeout: float | None = None
    stop_timeout: float | None = None
    memory_limit: int | None = None
    program: str = ""  #: what the unit starts; some packages start a script
    config_file: str = ""
    at_start: Mapping[str, str] | None = None  #: what the file and the command say
    unread: tuple[str, ...] = ()  #: what could not be read, each with the reason
    locked_out: bool = False  #: it runs, and does not let us in
    now: Mapping[str, str] | None = None  #: what the running server says; None when it is down
    info: Mapping[str, str] | None = None
    modules: tuple[str, ...] = ()
    folder: FileFacts | None = None
    dump: FileFacts | None = None
    log_folder: FileFacts | None = None
    free_bytes: int | None = None
    fence: Fence | None = None  #: an exchange of its data was begun and is not verified

    @property
    def fenced(self) -> bool:
        """Nobody but us reaches it, or will once it is started."""
        there = self.fence is not None and bool(self.fence.bind)
        return there and (self.now or {}).get("bind", fencing.ADDRESS) == fencing.ADDRESS

    def setting(self, name: str) -> str:
        """As it is; else as it would be at the next start; else as Redis does by itself."""
        for known in (self.now, self.at_start, redisconf.DEFAULTS):
            if known and name in known:
                return known[name]
        return ""

    @property
    def append_only(self) -> bool:
        """Now or at the next start: then a dump alone would not be loaded. Also when not known."""
        now, start = (self.now or {}).get("appendonly"), (self.at_start or {}).get("appendonly")
        unknown = now is None and start is None and not (self.config_file and self.at_start)
        return unknown or "yes" in (now, start)

    @property
    def keys(self) -> dict[str, int]:
        return {
            name[2:]: int(value.partition("keys=")[2].partition(",")[0])
            for name, value in (self.info or {}).items()
            if re.fullmatch(r"db\d+", name)
        }


def discover(host: Host, where: Where) -> Found:
    """One look at everything. Raises HostFault only when the machine itself cannot be asked."""
    unit = _unit(host, where.unit)
    fence = fencing.read(host, where.unit)
    if fence and fencing.listens(host, where.port, seconds=ANSWER_SECONDS):
        where = replace(where, address=fencing.ADDRESS, name=where.address)
    argv = _argv(unit.get("ExecStart", ""))
    config_file, at_start, unread = _configuration(host, argv)
    now, info, locked_out = None, None, False
    modules: tuple[str, ...] = ()
    try:
        now, info, modules = _ask(host, where)
    except HostFault as fault:
        locked_out = isinstance(fault, LockedOut)
        unread = (*unread, f"Redis at {where.address}:{where.port} could not be asked: {fault}")
    if info and not config_file:
        config_file = info.get("config_file", "")
    found = Found(
        where,
        unit.get("Type", ""),
        unit.get("User", ""),
        unit.get("Group", ""),
        unit.get("Restart", ""),
        _seconds(unit.get("TimeoutStartUSec", "")),
        _seconds(unit.get("TimeoutStopUSec", "")),
        _limit(unit.get("MemoryMax", "")) or _limit(unit.get("MemoryLimit", "")),
        argv[0] if argv else "",
        config_file,
        at_start,
        unread,
        locked_out,
        now,
        info,
        modules or tuple((at_start or {}).get("loadmodule", "").splitlines()),
        fence=fence,
    )
    return _with_files(host, found, unit.get("WorkingDirectory", ""))


def _unit(host: Host, unit: str) -> Mapping[str, str]:
    ran = host.run(
        ("systemctl", "show", f"--property={','.join(PROPERTIES)}", "--", unit),
        seconds=ANSWER_SECONDS,
    )
    said = dict(line.partition("=")[::2] for line in ran.out.splitlines())
    if not ran.ok or "LoadState" not in said:
        raise HostFault(f"systemd could not be asked about {unit}: {ran.complaint}")
    return said


def _argv(exec_start: str) -> tuple[str, ...]:
    match = re.search(r"argv\[\]=(.*?) ; ", exec_start)
    return tuple(shlex.split(match[1])) if match else ()


def _configuration(
    host: Host, argv: Sequence[str]
) -> tuple[str, Mapping[str, str] | None, tuple[str, ...]]:
    if not argv:
        return "", None, ("the unit does not say how it starts Redis",)
    file, options = redisconf.command_line(argv)
    if not file and PurePosixPath(argv[0]).name not in SERVERS:
        # Such as redis-stack's: it starts the server with a file that it knows.
        file = redisconf.named_in_script(host.read(argv[0]) or "")
        if not file:
            return "", None, (f"what {argv[0]} gives Redis is not known: it is no server itself",)
    given, unread = _file(host, file, depth=3) if file else ([], [])
    return file, redisconf.settled([*given, *options]), tuple(unread)


def _file(
    host: Host, path: str, *, depth: int
) -> tuple[list[tuple[str, tuple[str, ...]]], list[str]]:
    """A file's settings, those that it includes in their place."""
    text = host.read(path) if depth and "*" not in path else None
    if text is None:
        return [], [f"the configuration {path} could not be read"]
    given: list[tuple[str, tuple[str, ...]]] = []
    unread: list[str] = []
    for name, words in redisconf.directives(text):
        if name == "include" and words:
            more, faults = _file(host, words[0], depth=depth - 1)
            given += more
            unread += faults
        else:
            given.append((name, words))
    return given, unread


def _ask(host: Host, where: Where) -> tuple[Mapping[str, str], Mapping[str, str], tuple[str, ...]]:
    """What the server says of itself: settings, INFO, modules. Raises HostFault."""
    info, *settings, modules = ask(
        host,
        where,
        ("INFO", "everything"),
        *(("CONFIG", "GET", setting) for setting in ASKED),
        ("MODULE", "LIST"),
    )
    if isinstance(info, ErrorReply):
        raise (LockedOut if info.kind in LOCKED else HostFault)(info.text)
    if not isinstance(info, bytes):
        raise HostFault(f"INFO is answered with {info!r}")
    now = {
        pair[0].decode(): pair[1].decode(errors="replace")
        for pair in settings
        if isinstance(pair, list) and len(pair) == 2
    }
    lines = info.decode(errors="replace").splitlines()
    return now, dict(line.partition(":")[::2] for line in lines), module_lines(modules)


def programs(host: Host, found: Found, modules: tuple[str, ...] = ()) -> Programs:
    """Redis's own programs of that installation: a scratch server must be of the same version.

    With these modules where the server itself has none.
    """
    server = (found.info or {}).get("executable", "") or "redis-server"
    if found.info is None and PurePosixPath(found.program).name == "redis-server":
        server = found.program
    beside = PurePosixPath(server if "/" in server else found.program).parent
    names = {}
    for name in ("redis-server", "redis-cli", "redis-check-aof"):
        there = host.run(("test", "-x", f"{beside}/{name}"), seconds=ANSWER_SECONDS).ok
        names[name] = f"{beside}/{name}" if there else name
    return Programs(
        names["redis-server"],
        names["redis-cli"],
        names["redis-check-aof"],
        found.modules or modules,
    )


def _with_files(host: Host, found: Found, working: str) -> Found:
    """Where the data is, by whom it may be read, and what room there is."""
    data = str(PurePosixPath(working.lstrip("-!") or "/") / found.setting("dir"))
    free = host.run(("stat", "-f", "-c", "%a %S", "--", data), seconds=ANSWER_SECONDS)
    blocks, _, block = free.out.strip().partition(" ")
    return replace(
        found,
        folder=file_facts(host, data),
        dump=file_facts(host, f"{data}/{found.setting('dbfilename')}"),
        log_folder=file_facts(host, f"{data}/{found.setting('appenddirname')}"),
        free_bytes=int(blocks) * int(block) if free.ok and block else None,
    )


def file_facts(host: Host, path: str) -> FileFacts | None:
    ran = host.run(("stat", "-c", "%s %u %g %a", "--", path), seconds=ANSWER_SECONDS)
    words = ran.out.split()
    if not ran.ok or len(words) != 4:
        return None
    return FileFacts(path, int(words[0]), int(words[1]), int(words[2]), words[3])


def _seconds(text: str) -> float | None:
    """systemd's way to write a duration: `1min 30s`, `infinity`."""
    units = {"us": 1e-6, "ms": 1e-3, "s": 1, "min": 60, "h": 3600, "d": 86400, "w": 604800}
    parts = re.findall(r"([\d.]+)(us|ms|s|min|h|d|w)\b", text)
    return sum(float(number) * units[unit] for number, unit in parts) if parts else None


def _limit(text: str) -> int | None:
    # Without a limit it is a word, or the highest number there is.
    return int(text) if text.isdigit() and int(text) < 2**62 else None
