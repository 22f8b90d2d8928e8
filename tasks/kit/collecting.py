"""What a machine's services need besides their data: unit files, configuration, versions.

What lives here: reading them through the Host port. What must not: what becomes of them, and any
writing. Nothing is skipped in silence: what should be there and could not be read is named.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from tasks.backup.asking import Where
from tasks.backup.discovery import Found, discover
from tasks.host import Host, HostFault

ANSWER_SECONDS = 20.0
#: A larger file is no configuration.
LARGEST = 200_000
#: In place of a unit's load state.
UNASKED = "not known, because systemd could not be asked"
_CONFIGURATION = (".conf", ".env", ".ini", ".json", ".toml", ".yaml", ".yml", ".cfg")


@dataclass(frozen=True, slots=True)
class Wanted:
    """One service, as the fleet names it."""

    service: str
    unit: str
    redis: Where | None = None  #: where it is one


@dataclass(frozen=True, slots=True)
class File:
    """One file as it was. `secret`: nothing of it may be kept in clear."""

    path: str
    text: str
    mode: str  #: octal
    user: str
    group: str
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Collected:
    """All of one machine. `facts` are the words of services/NAME.sh, for each Redis."""

    files: tuple[File, ...]
    packages: tuple[str, ...]
    missing: tuple[str, ...]
    facts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def collect(host: Host, wanted: Sequence[Wanted], secret_files: Collection[str] = ()) -> Collected:
    """Of these services, and these files, which hold nothing but a secret.

    Raises HostFault when the machine itself cannot be asked.
    """
    paths: dict[str, bool] = {}
    programs: list[str] = []
    missing: list[str] = []
    facts: dict[str, Mapping[str, str]] = {}
    for each in wanted:
        unit = _unit(host, each.unit)
        if unit.get("LoadState") != "loaded":
            missing.append(f"{each.service}: its unit {each.unit} is {unit['LoadState']}")
        programs += _programs(unit)
        paths |= dict.fromkeys([*_unit_files(unit), *_named(unit)], False)
        if each.redis and unit["LoadState"] != UNASKED:
            try:
                found = discover(host, each.redis)
                paths |= dict.fromkeys(_of_redis(host, found), False)
                facts[each.service] = _facts(host, each, found)
            except HostFault as fault:
                missing.append(f"{each.service}: {fault}")
                continue
            programs += [line.split()[0] for line in found.modules if line.split()]
            missing += [f"{each.service}: {reason}" for reason in found.unread]
    paths |= dict.fromkeys(secret_files, True)
    read = [_read(host, path, secret) for path, secret in paths.items()]
    missing += [each for each in read if isinstance(each, str)]
    files = tuple(each for each in read if isinstance(each, File))
    return Collected(files, tuple(sorted({*_packages(host, programs)})), tuple(missing), facts)


def _unit(host: Host, unit: str) -> Mapping[str, str]:
    names = "LoadState,FragmentPath,DropInPaths,EnvironmentFiles,ExecStart,ExecStartPre"
    argv = ("systemctl", "show", f"--property={names}", "--", unit)
    ran = host.run(argv, seconds=ANSWER_SECONDS)
    if not ran.ok:
        return {"LoadState": UNASKED}
    found = {"LoadState": ""}
    for line in ran.out.splitlines():
        name, _, value = line.partition("=")
        found[name] = f"{found[name]}\n{value}" if found.get(name) else value
    return found


def _unit_files(unit: Mapping[str, str]) -> Iterator[str]:
    if path := unit.get("FragmentPath"):
        yield path
    # What is in /run is gone with the next start.
    yield from (each for each in unit.get("DropInPaths", "").split() if not _passing(each))
    for line in unit.get("EnvironmentFiles", "").splitlines():
        if path := line.rpartition(" (")[0] or line:
            yield path


def _passing(path: str) -> bool:
    return path.startswith("/run/")


def _words(unit: Mapping[str, str]) -> Iterator[list[str]]:
    for name in ("ExecStart", "ExecStartPre"):
        for argv in re.findall(r"argv\[\]=(.*?) ; ", unit.get(name, "")):
            try:
                yield shlex.split(argv)
            except ValueError:
                yield argv.split()


def _programs(unit: Mapping[str, str]) -> list[str]:
    return [words[0] for words in _words(unit) if words]


def _named(unit: Mapping[str, str]) -> Iterator[str]:
    """Configuration that the command line names."""
    for words in _words(unit):
        for word in words[1:]:
            path = word.rpartition("=")[2]
            if path.startswith("/") and PurePosixPath(path).suffix in _CONFIGURATION:
                yield path


def _of_redis(host: Host, found: Found) -> Iterator[str]:
    yield from (path for path in (found.config_file, found.setting("aclfile")) if path)
    for line in (host.read(found.config_file) or "").splitlines() if found.config_file else ():
        words = line.split()
        if len(words) == 2 and words[0].lower() == "include" and "*" not in words[1]:
            yield words[1]


def _read(host: Host, path: str, secret: bool) -> File | str:
    argv = ("stat", "-L", "-c", "%a %U %G %s", "--", path)
    ran = host.run(argv, seconds=ANSWER_SECONDS)
    words = ran.out.split()
    if not ran.ok or len(words) != 4:
        return f"{path} could not be read: {ran.complaint}"
    if int(words[3]) > LARGEST:
        return f"{path} is not in the kit: it has {words[3]} bytes, which no configuration has"
    try:
        text = host.read(path)
    except HostFault as fault:
        return str(fault)
    if text is None or "\ufffd" in text:
        return f"{path} is not in the kit: it is no text"
    return File(path, text, words[0], words[1], words[2], secret)


def _packages(host: Host, programs: Sequence[str]) -> Iterator[str]:
    for program in programs:
        real = host.run(("readlink", "-f", "--", program), seconds=ANSWER_SECONDS).out.strip()
        # On a system that merged /usr, dpkg knows it by either name; a link has its own package.
        for name in dict.fromkeys((program, program.removeprefix("/usr"), real)):
            owner = host.run(("dpkg-query", "-S", "--", name), seconds=ANSWER_SECONDS)
            lines = [each for each in owner.out.splitlines() if not each.startswith("diversion ")]
            if owner.ok and lines:
                package = lines[0].partition(":")[0]
                wanted = ("dpkg-query", "-W", "-f", "${Package} ${Version}", "--", package)
                yield host.run(wanted, seconds=ANSWER_SECONDS).out.strip()
                break


def _facts(host: Host, wanted: Wanted, found: Found) -> Mapping[str, str]:
    """What restore-redis.sh has to know, under the names that it knows them by."""
    info = found.info or {}
    server = info.get("executable", "") or found.program
    own = found.dump or found.log_folder or found.folder
    owner = ""
    if own:
        argv = ("stat", "-c", "%U:%G", "--", own.path)
        owner = host.run(argv, seconds=ANSWER_SECONDS).out.strip()
    where = wanted.redis
    return {
        "UNIT": wanted.unit,
        "SERVER": server if PurePosixPath(server).is_absolute() else "",
        "CONFIG": found.config_file,
        "ADDRESS": where.address if where else "",
        "PORT": str(where.port if where else 6379),
        "PASSWORD_FILE": where.password_file if where else "",
        "DATA": _data(found),
        "DBFILENAME": found.setting("dbfilename"),
        "APPENDONLY": "yes" if found.append_only else "no",
        "APPENDDIRNAME": found.setting("appenddirname"),
        "APPENDFILENAME": found.setting("appendfilename"),
        "OWNER": owner or f"{found.user or 'redis'}:{found.group or found.user or 'redis'}",
        "FILE_MODE": found.dump.mode if found.dump else "600",
        "FOLDER_MODE": (found.log_folder or found.folder or _NO_FOLDER).mode,
        "VERSION": info.get("redis_version", ""),
        "PACKAGE": next((each.split()[0] for each in _packages(host, [server])), "redis-server"),
        "MODULES": "\n".join(found.modules),
        "MODULE_PACKAGES": " ".join(
            each.split()[0]
            for each in _packages(host, [line.split()[0] for line in found.modules if line])
        ),
    }


def _data(found: Found) -> str:
    """Its folder, or nothing: a guess would be where a stranger then puts the data."""
    said = {**(found.at_start or {}), **(found.now or {})}
    return found.folder.path if found.folder and "dir" in said else ""


@dataclass(frozen=True, slots=True)
class _Folder:
    mode: str = "750"


_NO_FOLDER = _Folder()
