"""Where a Redis keeps its data: what belongs to it there, and renaming it without loss.

What lives here: the place, what earlier restores kept beside it, and the moves. What must not:
when something is moved (exchanging.py).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.backup.discovery import FileFacts, Found
from tasks.backup.scratch import ran
from tasks.host import Host, HostFault

KEPT, AFTERWARDS, INCOMING = "pre-restore-", "restored-", ".restore-"
#: The dump as it was before the last save: a last save of an emptied server is empty.
SAVED_BEFORE = ".saved-before"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a Redis keeps its data, and what belongs to it there."""

    folder: str
    dump: str
    log_folder: str
    log: str
    append_only: bool
    user: int
    group: int
    file_mode: str
    folder_mode: str

    @property
    def names(self) -> tuple[str, ...]:
        """All that it may load: the last is how a Redis before 7 wrote its log."""
        return (self.dump, self.log_folder, self.log)


def place_of(found: Found, folder: FileFacts) -> Place:
    """Owner and mode as they were; where there was nothing, as the folder says."""
    of_file = found.dump or found.log_folder or folder
    of_folder = found.log_folder or folder
    return Place(
        folder.path,
        found.setting("dbfilename"),
        found.setting("appenddirname"),
        found.setting("appendfilename"),
        found.append_only,
        of_file.user,
        of_file.group,
        found.dump.mode if found.dump else "600",
        of_folder.mode,
    )


def kept_folders(host: Host, folder: str) -> tuple[str, ...]:
    """What earlier restores kept, oldest first."""
    argv = ("find", folder, "-maxdepth", "1", "-name", f"{KEPT}*", "-printf", "%f\\n")
    return tuple(sorted(ran(host, argv).out.split()))


def stamp(host: Host) -> str:
    now = host.now()
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(now))}.{int(now % 1 * 1000):03d}Z"


def new_folder(host: Host, path: str) -> None:
    ran(host, ("mkdir", "-m", "700", "--", path))


def move(host: Host, names: Sequence[str], source: str, target: str) -> None:
    """Rename what is there of these; never over something."""
    for name in there(host, names, source):
        # Without -T it would be moved into a folder of that name; -n says nothing when it refuses.
        ran(host, ("mv", "-n", "-T", "--", f"{source}/{name}", f"{target}/{name}"))
        if there(host, (name,), source):
            raise HostFault(f"{target}/{name} is there already, and was not overwritten")
    if names:
        ran(host, ("sync", "--", source, target))


def there(host: Host, names: Sequence[str], folder: str) -> tuple[str, ...]:
    there = within(host, folder)
    return tuple(name for name in names if name in there)


def within(host: Host, folder: str) -> tuple[str, ...]:
    argv = ("find", folder, "-mindepth", "1", "-maxdepth", "1", "-printf", "%f\\n")
    return tuple(host.run(argv, seconds=10).out.splitlines())


def sizes(host: Host, folder: str, names: Sequence[str]) -> tuple[str, ...]:
    """What is there of these, each with all that is in it."""
    found = []
    for name in there(host, names, folder):
        words = host.run(("du", "-s", "-b", "--", f"{folder}/{name}"), seconds=60).out.split()
        found.append(f"{folder}/{name}, {words[0] if words else '?'} bytes")
    return tuple(found)
