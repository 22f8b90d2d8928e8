"""Collects what is to be backed up of a machine into one folder, with its manifest.

    python -m tasks.backup.collecting --settings FILE   says what it has; 1 and a sentence otherwise

What lives here: finding and copying, so that what is hashed is what is pushed. What must not:
restic (restic.py), and how databases and repositories are copied (copying.py). What is asked for
and not there is an error, never a skip. A file that changes while it is copied is copied again.
"""

from __future__ import annotations

import argparse
import fnmatch
import glob
import json
import os
import shutil
import stat
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.arguments import BadArguments, read_arguments
from tasks.backup import copying, filemanifest
from tasks.backup.copying import NotCopied
from tasks.backup.filemanifest import Entry, FileManifest, Part

ATTEMPTS = 3
#: SQLite's own files beside a database; its copy is consistent without them.
BESIDE = ("-wal", "-shm", "-journal")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a settings file holds, as JSON."""

    into: str  #: the folder that is filled; what is in it goes first
    job: str
    machine: str
    max_bytes: int
    include: tuple[str, ...] = ()  #: globs; a folder stands for all that is in it
    exclude: tuple[str, ...] = ()
    sqlite: tuple[str, ...] = ()
    git: tuple[str, ...] = ()
    ollama: str = ""


class _Moved(Exception):
    """The machine changed while it was looked at; it is looked at once more."""


def collect(settings: Settings) -> FileManifest:
    """Raises NotCopied; then the folder holds no manifest."""
    into = Path(settings.into)
    _empty(into)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            manifest = _collected(settings, into)
            break
        except _Moved as moved:
            if attempt == ATTEMPTS:
                raise NotCopied(f"{moved}, {ATTEMPTS} times; leave it out or stop it") from moved
            _empty(into)
    (into / filemanifest.NAME).write_text(manifest.text())
    return manifest


def _empty(into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True, mode=0o700)
    if into.is_symlink() or into.stat().st_uid != os.geteuid():
        raise NotCopied(f"{into} belongs to somebody else; take it away")
    for each in into.iterdir():
        shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()


def _collected(settings: Settings, into: Path) -> FileManifest:
    taken_at = time.time()
    databases = _matches(settings.sqlite, settings.exclude)
    apart = {f"{path}{end}" for path in databases for end in ("", *BESIDE)}
    wanted = _matches(settings.include, settings.exclude)
    found = [path for path in _inside(wanted, settings.exclude) if str(path) not in apart]
    _demand_room(settings, into, [*found, *databases])
    entries: list[Entry] = []
    left_out: list[str] = []
    for path in found:
        entry = _copied(path, into)
        entries += [entry] if entry else []
        left_out += [] if entry else [str(path)]
    entries += [copying.database(each, into) for each in databases]
    entries += [copying.repository(Path(each), into) for each in settings.git]
    if settings.ollama:
        entries.append(copying.models(settings.ollama, into))
    return FileManifest(settings.job, settings.machine, taken_at, tuple(entries), tuple(left_out))


def _matches(patterns: Sequence[str], exclude: Sequence[str]) -> list[Path]:
    """Each pattern stands for something that is there."""
    found: dict[Path, None] = {}
    for pattern in patterns:
        here = sorted(glob.glob(pattern, recursive=True, include_hidden=True))
        if not here:
            raise NotCopied(f"{pattern} is not there; see to it, or take it out of the job")
        found |= {Path(os.path.normpath(each)): None for each in here if not _out(each, exclude)}
    return list(found)


def _out(path: str, exclude: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in exclude)


def _inside(wanted: Sequence[Path], exclude: Sequence[str]) -> Iterator[Path]:
    """All that is no folder, each once."""
    seen: set[Path] = set()
    for path in wanted:
        for each in _walk(path, exclude) if path.is_dir() and not path.is_symlink() else (path,):
            if each not in seen:
                seen.add(each)
                yield each


def _walk(folder: Path, exclude: Sequence[str]) -> Iterator[Path]:
    def complain(error: OSError) -> None:
        if isinstance(error, FileNotFoundError):
            raise _Moved(f"{error.filename} went away while it was looked at")
        raise NotCopied(f"{error.filename} cannot be read: {error.strerror}")

    for root, folders, files in os.walk(folder, onerror=complain):
        here = Path(root)
        links = [each for each in folders if (here / each).is_symlink()]
        folders[:] = sorted(
            each for each in folders if each not in links and not _out(str(here / each), exclude)
        )
        for name in sorted([*files, *links]):
            if not _out(str(here / name), exclude):
                yield here / name


def _demand_room(settings: Settings, into: Path, paths: Sequence[Path]) -> None:
    sizes = {path: _stat(path).st_size for path in paths}
    total = sum(sizes.values())
    if total > settings.max_bytes:
        largest = max(sizes, key=lambda each: sizes[each])
        raise NotCopied(
            f"{total} bytes are more than max_bytes, {settings.max_bytes}; the largest is "
            f"{largest} with {sizes[largest]}; leave something out, or raise max_bytes"
        )
    free = shutil.disk_usage(into).free
    if total > free:
        raise NotCopied(f"{total} bytes do not fit in {into}, where {free} are free")


def _stat(path: Path) -> os.stat_result:
    try:
        return path.lstat()
    except FileNotFoundError as error:
        raise _Moved(f"{path} went away while it was looked at") from error


def _copied(path: Path, into: Path) -> Entry | None:
    """None for what holds no data of its own."""
    before = _stat(path)
    at = f"files{path}"
    try:
        if not (stat.S_ISLNK(before.st_mode) or stat.S_ISREG(before.st_mode)):
            return None
        copying.with_folders(path, into / at)
        if stat.S_ISLNK(before.st_mode):
            return Entry(Part.LINK, str(path), target=os.readlink(path))
        shutil.copyfile(path, into / at, follow_symlinks=False)
    except FileNotFoundError as error:
        raise _Moved(f"{path} went away while it was copied") from error
    except OSError as error:
        raise NotCopied(f"{path} cannot be copied: {error.strerror}") from error
    after = _stat(path)
    if (before.st_ino, before.st_size, before.st_mtime_ns) != (
        *(after.st_ino, after.st_size, after.st_mtime_ns),
    ):
        raise _Moved(f"{path} changed while it was copied")
    return copying.entry(Part.FILE, path, into, at, before)


def main() -> int:
    parser = argparse.ArgumentParser(prog="tasks.backup.collecting")
    parser.add_argument("--settings", type=Path, required=True)
    arguments = parser.parse_args()
    os.umask(0o077)
    try:
        settings = read_arguments(Settings, json.loads(arguments.settings.read_text()))
        print(collect(settings).told())
    except (NotCopied, BadArguments, OSError) as fault:
        print(fault, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
