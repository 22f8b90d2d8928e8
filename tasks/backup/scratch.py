"""A scratch Redis server: loads a backup where it can harm nobody, and says what was in it.

What lives here: starting one through the Host port, waiting, counting, sampling, saving, ending
it by its pid. What must not: what the findings mean (manifest.py). It has a folder and a socket
of its own, no network, no memory limit, and never saves by itself. The backup is only read:
what a server may write to is a link or a copy.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePath

from tasks import processes
from tasks.backup import evidence as counting
from tasks.backup.asking import pause_after
from tasks.backup.history import BASE, LOG_FOLDER, MANIFEST, aof_manifest, segment_name
from tasks.backup.manifest import Contents
from tasks.host import Host, HostFault, Ran
from tasks.operation import SILENT, Moved, Tell

ANSWER_SECONDS, COPY_SECONDS = 60.0, 3600.0
#: A dump of more databases than the server has cannot be loaded.
DATABASES = 1024
PREFIX = "scratch."
#: Over SSH the process that asked is gone at once, and its server is not to be ended for that.
STALE_MINUTES = "+10"
GENTLY = ("nice", "-n", "19", "ionice", "-c", "3")
#: A path to a socket may not be longer, on Linux.
LONGEST_PLACE = 80


class NotLoaded(Exception):
    """A scratch server could not load the backup: do not use it. Production was not touched."""


@dataclass(frozen=True, slots=True)
class Programs:
    """Redis's own programs on the machine; the modules are files that the server must load."""

    server: str = "redis-server"
    cli: str = "redis-cli"
    check_aof: str = "redis-check-aof"
    modules: tuple[str, ...] = ()
    gentle: bool = False  #: behind all else that wants the processor and the disk

    @property
    def serving(self) -> tuple[str, ...]:
        return (*GENTLY, self.server) if self.gentle else (self.server,)


@dataclass(frozen=True, slots=True)
class Dump:
    """One file."""

    path: str


@dataclass(frozen=True, slots=True)
class Cut:
    """A captured history, up to and including the second `at`; all of it when that is None.

    Or up to a place in it that somebody found: so many bytes of that segment.
    """

    folder: str
    at: int | None = None
    segment: int = 0
    position: int = 0


class Scratch:
    """A scratch server that has loaded everything."""

    def __init__(self, host: Host, programs: Programs, folder: str, source: Dump | Cut) -> None:
        self.host, self.programs, self.folder, self.source = host, programs, folder, source
        self.socket = f"{folder}/s"
        self.load_seconds = 0.0

    def ask(self, *words: str, stdin: str = "", seconds: float = ANSWER_SECONDS) -> str:
        """The answer as text. An error is text too, with exit code 0: whoever asks must know."""
        argv = (self.programs.cli, "-s", self.socket, *words)
        return self.host.run(argv, seconds=seconds, stdin=stdin.encode()).out

    def info(self) -> Mapping[str, str]:
        return dict(line.partition(":")[::2] for line in self.ask("INFO").splitlines())

    def contents(
        self,
        patterns: Sequence[str] = (),
        samples: Sequence[str] = (),
        *,
        seconds: float = COPY_SECONDS,
    ) -> Contents:
        """Counts, and the digests of these samples, or of some chosen now when none are given."""
        return counting.gather(
            lambda *words, stdin="": self.ask(*words, stdin=stdin, seconds=seconds),
            patterns,
            samples,
            from_dump=isinstance(self.source, Dump),
        )

    def save_as(self, path: str, *, seconds: float = COPY_SECONDS) -> None:
        """All it holds as one dump under this name, which must not exist."""
        if (said := self.ask("SAVE", seconds=seconds).strip()) != "OK":
            raise NotLoaded(f"the scratch server could not save: {said}")
        new = f"{path}.new"
        ran(self.host, ("cp", "--no-clobber", "--", f"{self.folder}/dump.rdb", new))
        ran(self.host, ("sync", "--", new))
        ran(self.host, ("mv", "--no-clobber", "-T", "--", new, path))


@contextmanager
def loaded(
    host: Host,
    source: Dump | Cut,
    programs: Programs,
    *,
    place: str = "/var/tmp",  # noqa: S108 - only for a folder of its own, which mktemp makes
    seconds: float = COPY_SECONDS,
    meanwhile: Callable[[], None] = lambda: None,
    tell: Tell = SILENT,
) -> Iterator[Scratch]:
    """A scratch server that has loaded this; ended and gone with the block, come what may.

    `meanwhile` is done while it loads, which takes one processor and no more.
    """
    if len(place) > LONGEST_PLACE:
        raise NotLoaded(f"{place} is too long a path for a socket in it: name a shorter folder")
    _sweep(host, place)
    folder = ran(host, ("mktemp", "-d", f"{place}/{PREFIX}XXXXXXXX")).out.strip()
    try:
        host.write(f"{folder}/owner", _owner(host).encode(), mode=0o600)
        scratch = Scratch(host, programs, folder, source)
        begun = host.now()
        options = _prepare(host, programs, source, folder)
        ran(host, (*programs.serving, *_options(host, programs, folder), *options))
        meanwhile()
        _wait(scratch, begun + seconds, tell)
        scratch.load_seconds = host.now() - begun
        # Otherwise keys would go while they are counted.
        scratch.ask("DEBUG", "SET-ACTIVE-EXPIRE", "0")
        yield scratch
    finally:
        _end(host, folder)


def _prepare(host: Host, programs: Programs, source: Dump | Cut, folder: str) -> tuple[str, ...]:
    if isinstance(source, Dump):
        if host.run(("test", "-s", source.path), seconds=ANSWER_SECONDS).exit_code != 0:
            raise NotLoaded(f"{source.path} is missing or empty")
        # A link: should the server save, it replaces the link and not what it points to.
        ran(host, ("ln", "-s", "--", source.path, f"{folder}/dump.rdb"))
        return ("--appendonly", "no")
    _cut(host, programs, source, folder)
    return ("--appendonly", "yes", "--auto-aof-rewrite-percentage", "0")


def _cut(host: Host, programs: Programs, source: Cut, folder: str) -> None:
    """An append-only directory that ends with the second wanted; only its last file is a copy."""
    log, into = f"{source.folder}/{LOG_FOLDER}", f"{folder}/{LOG_FOLDER}"
    count = (host.read(f"{log}/{MANIFEST}") or "").count(" type i\n")
    if not count:
        raise NotLoaded(f"{source.folder} is no captured history: {log}/{MANIFEST} lists nothing")
    kept = source.segment or count
    if source.at is not None:
        files = [f"{log}/{segment_name(number)}" for number in range(1, count + 1)]
        kept = _segments_until(ran(host, ("head", "-q", "-n", "1", "--", *files)).out, source.at)
        if not kept:
            raise NotLoaded(f"{source.folder} begins after the time wanted: use an older one")
    ran(host, ("mkdir", "--", into))
    whole = [BASE, *(segment_name(number) for number in range(1, kept))]
    ran(host, ("ln", "-s", "-t", into, "--", *(f"{log}/{name}" for name in whole)))
    ran(host, ("cp", "-t", into, "--", f"{log}/{segment_name(kept)}"), seconds=COPY_SECONDS)
    if source.segment:
        ran(host, ("truncate", "-s", str(source.position), "--", f"{into}/{segment_name(kept)}"))
    host.write(f"{into}/{MANIFEST}", aof_manifest(kept).encode(), mode=0o600)
    if source.at is not None:
        argv = (programs.check_aof, "--truncate-to-timestamp", str(source.at))
        checked = host.run((*argv, f"{into}/{MANIFEST}"), seconds=COPY_SECONDS)
        # A command that is cut off at the very end, in the open segment, is left out by the
        # server itself when it loads; damage anywhere else makes that loading fail.
        if not checked.ok and "is not valid" not in checked.out:
            raise NotLoaded(f"{programs.check_aof}: {checked.complaint}")


def _segments_until(first_lines: str, at: int) -> int:
    """How many segments, from the first, begin no later than this second."""
    stamps = [int(line[4:]) for line in first_lines.splitlines() if line.startswith("#TS:")]
    return sum(stamp <= at for stamp in stamps)


def _options(host: Host, programs: Programs, folder: str) -> tuple[str, ...]:
    given = {
        "port": "0",
        "unixsocket": f"{folder}/s",
        "unixsocketperm": "700",
        "dir": folder,
        "dbfilename": "dump.rdb",
        "save": "",
        "maxmemory": "0",
        "databases": str(DATABASES),
        "daemonize": "yes",
        "pidfile": f"{folder}/pid",
        "logfile": f"{folder}/log",
    }
    # Needed for digests; older servers allow it always and do not know the option.
    version = ran(host, (programs.server, "--version")).out.partition("v=")[2]
    if int(version.partition(".")[0] or 0) >= 7:
        given["enable-debug-command"] = "yes"
    words = [word for name, value in given.items() for word in (f"--{name}", value)]
    for module in programs.modules:
        words += ["--loadmodule", *shlex.split(module)]
    return tuple(words)


def _wait(scratch: Scratch, ends: float, tell: Tell) -> None:
    host, begun = scratch.host, scratch.host.now()
    while True:
        pid = (host.read(f"{scratch.folder}/pid") or "").strip()
        info = scratch.info()
        if info.get("loading") == "0":
            return
        if "loading_loaded_bytes" in info:
            done, total = (int(info[f"loading_{name}_bytes"]) for name in ("loaded", "total"))
            tell.moved(Moved("loading it in a scratch server", done, total))
        lives = bool(pid) and host.read(f"/proc/{pid}/stat") is not None
        if not lives and (pid or host.now() > begun + ANSWER_SECONDS):
            raise NotLoaded(f"the scratch server ended: {_last_words(host, scratch.folder)}")
        if host.now() > ends:
            raise NotLoaded("the scratch server had not loaded it at the deadline")
        host.sleep(pause_after(host.now() - begun))


def _last_words(host: Host, folder: str) -> str:
    """What its log complains of: the last line that is not about ending."""
    lines = (host.read(f"{folder}/log") or "").splitlines()
    words = [line.partition(" # ")[2] for line in lines if " # " in line]
    complaints = [each for each in words if each and not each.startswith("WARNING")]
    return "; ".join(complaints[-2:]) or "without a word"


def _owner(host: Host) -> str:
    """The process that asks for this, as the machine numbers it, and when it was started."""
    pid = ran(host, ("cat", "/proc/self/stat")).out.rpartition(")")[2].split()[1]
    return f"{pid} {processes.start_time(host, int(pid))}"


def _sweep(host: Host, place: str) -> None:
    """End what somebody left who was killed: it has a whole data set in memory."""
    argv = ("find", place, "-maxdepth", "1", "-name", f"{PREFIX}*", "-mmin", STALE_MINUTES)
    for folder in ran(host, (*argv, "-printf", "%p\\n")).out.split():
        pid, _, started = (host.read(f"{folder}/owner") or "").partition(" ")
        if not pid or str(processes.start_time(host, int(pid))) != started:
            _end(host, folder)


def _end(host: Host, folder: str) -> None:
    pid = (host.read(f"{folder}/pid") or "").strip()
    if pid.isdigit() and folder in (host.read(f"/proc/{pid}/cmdline") or ""):
        host.run(("kill", "-s", "KILL", "--", pid), seconds=ANSWER_SECONDS)
    if PurePath(folder).name.startswith(PREFIX):
        host.run(("rm", "-r", "-f", "--", folder), seconds=COPY_SECONDS)


def size_and_sha256(host: Host, path: str) -> tuple[int, str]:
    size = ran(host, ("stat", "-c", "%s", "--", path)).out.strip()
    # Four times as fast as coreutils, which has no use for a processor's own instructions.
    fast = host.run(("openssl", "dgst", "-sha256", "-r", "--", path), seconds=COPY_SECONDS)
    done = fast if fast.ok else ran(host, ("sha256sum", "--", path), seconds=COPY_SECONDS)
    return int(size), done.out.removeprefix("\\")[:64]


def ran(host: Host, argv: Sequence[str], *, seconds: float = ANSWER_SECONDS) -> Ran:
    """A command that must go well; raises HostFault otherwise."""
    done = host.run(argv, seconds=seconds)
    if not done.ok:
        raise HostFault(f"{shlex.join(argv[:3])}: {done.complaint}")
    return done
