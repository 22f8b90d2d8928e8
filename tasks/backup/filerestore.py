"""Restores a snapshot of files into a folder of its own, with a script that puts it in place.

    python -m tasks.backup.filerestore --settings FILE   1 and a sentence where that failed

What lives here: the folder, whole or not at all, and two plain scripts in it. What must not:
touching anything that is in use; who runs `sh place.sh` does that. It renames what is there and
overwrites nothing, and `sh undo.sh` takes it back.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from tasks.arguments import BadArguments, read_arguments
from tasks.backup import filemanifest
from tasks.backup.collecting import BESIDE
from tasks.backup.filemanifest import Entry, FileManifest, NotAManifest, Part
from tasks.backup.fileproof import faults
from tasks.backup.history import sync_folder
from tasks.backup.restic import COPY_SECONDS, Repository, complaint
from tasks.host import HostFault, LocalHost

#: What place.sh adds to the name of what was there.
BEFORE = ".before-"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a settings file holds, as JSON."""

    location: str
    password_file: str
    program: str
    snapshot: str
    into: str  #: is made


class NotRestored(Exception):
    """The snapshot was not restored; nothing is there under its name."""


def restore(settings: Settings) -> None:
    into = Path(settings.into)
    part = into.with_name(f".{into.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True, mode=0o700)
        top = _fetched(settings, part)
        manifest = filemanifest.read((top / filemanifest.NAME).read_text())
        if wrong := next(faults(top, manifest), ""):
            raise NotRestored(f"snapshot {settings.snapshot[:8]} is not what it was: {wrong}")
        _scripts(top, manifest, into.name)
        top.chmod(0o700)
        top.rename(into)
        sync_folder(into.parent)
    except NotAManifest as fault:
        raise NotRestored(str(fault)) from fault
    except HostFault as fault:
        raise NotRestored(str(fault)) from fault
    except OSError as error:
        raise NotRestored(f"{into} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _fetched(settings: Settings, part: Path) -> Path:
    """The folder that has the manifest."""
    repository = Repository(settings.location, settings.password_file, settings.program)
    words = ("restore", "--quiet", "--no-lock", settings.snapshot, "--target", str(part))
    ran = LocalHost().run(repository.command(*words), seconds=COPY_SECONDS)
    if not ran.ok:
        raise NotRestored(f"restic restore: {complaint(ran)}")
    tops = [each.parent for each in part.rglob(filemanifest.NAME)]
    if not tops:
        raise NotRestored(f"snapshot {settings.snapshot[:8]} has no manifest")
    return min(tops, key=lambda each: len(each.parts))


def _scripts(top: Path, manifest: FileManifest, name: str) -> None:
    head = f'#!/bin/sh\n# Made by AutoBot DR with {name}.\nset -eu\ncd "$(dirname "$0")"\n'
    wanted = [each for each in manifest.entries if each.part in (Part.FILE, Part.DATABASE)]
    links = [each for each in manifest.entries if each.part == Part.LINK]
    place = [_PUT.replace("@", f"{BEFORE}{name}"), *_puts(wanted)]
    place += [f"link {quote(each.target)} {quote(each.path)}" for each in links]
    undo = [_BACK.replace("@", f"{BEFORE}{name}")]
    undo += [f"back {quote(path)}" for path in _touched([*wanted, *links])]
    for script, lines in (("place.sh", place), ("undo.sh", undo)):
        (top / script).write_text(head + "\n".join(lines) + "\n")


def _puts(entries: list[Entry]) -> Iterator[str]:
    for each in entries:
        if each.part == Part.DATABASE:
            # Beside the old ones of another moment, a database would be read as damaged.
            yield from (f"away {quote(each.path + end)}" for end in BESIDE)
        owner = f"{each.uid}:{each.gid}"
        yield f"put {quote(each.at)} {quote(each.path)} {each.mode:o} {owner}"


def _touched(entries: list[Entry]) -> Iterator[str]:
    for each in entries:
        yield each.path
        if each.part == Part.DATABASE:
            yield from (each.path + end for end in BESIDE)


_PUT = """\
there() { [ -e "$1" ] || [ -L "$1" ]; }
# What was there before stays under its other name, also when this is run twice.
away() { if there "$1" && ! there "$1@"; then mv -T -- "$1" "$1@"; fi; }
# A folder that is gone comes back with the owner and mode that it had.
folder() {
    [ ! -d "$2" ] || return 0
    folder "$(dirname -- "$1")" "$(dirname -- "$2")"
    mkdir -- "$2"
    [ "$(id -u)" != 0 ] || chown --reference="$1" -- "$2"
    chmod --reference="$1" -- "$2"
}
put() {
    folder "$(dirname -- "$1")" "$(dirname -- "$2")"
    cp -T -- "$1" "$2.new"
    [ "$(id -u)" != 0 ] || chown "$4" -- "$2.new"
    chmod "$3" -- "$2.new"
    away "$2"
    mv -f -T -- "$2.new" "$2"
}
link() {
    folder "files$(dirname -- "$2")" "$(dirname -- "$2")"
    away "$2"
    ln -s -f -n -- "$1" "$2"
}
"""
_BACK = """\
back() { if [ -e "$1@" ] || [ -L "$1@" ]; then mv -f -T -- "$1@" "$1"; fi; }
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="tasks.backup.filerestore")
    parser.add_argument("--settings", type=Path, required=True)
    arguments = parser.parse_args()
    os.umask(0o077)
    try:
        restore(read_arguments(Settings, json.loads(arguments.settings.read_text())))
    except (NotRestored, BadArguments, OSError) as fault:
        print(fault, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
