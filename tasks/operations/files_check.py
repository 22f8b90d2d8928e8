"""files.check: a part of a restic repository is read whole; in rotation all of it. Changes nothing.

A proof reads what the newest snapshot needs. What older ones need can rot unseen, and is found
here, while there are still other copies.
"""

from __future__ import annotations

from dataclasses import dataclass

from tasks.backup.restic import COPY_SECONDS, Repository, complaint
from tasks.host import Host
from tasks.operation import Met, Unmet, only_look

DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Arguments:
    folder: str  #: the repository
    password_file: str
    parts: int = 7  #: so many days until all of it was read


@dataclass(frozen=True, slots=True)
class Seen:
    part: str
    fault: str


def look(host: Host, wanted: Arguments) -> Seen:
    part = f"{int(host.now() // DAY) % wanted.parts + 1}/{wanted.parts}"
    repository = Repository(wanted.folder, wanted.password_file)
    words = ("check", "--quiet", "--no-lock", f"--read-data-subset={part}")
    ran = host.run(repository.command(*words), seconds=COPY_SECONDS)
    return Seen(part, "" if ran.ok else complaint(ran))


def judge(wanted: Arguments, seen: Seen) -> Met | Unmet:
    if seen.fault:
        return Unmet(f"{wanted.folder} is damaged, part {seen.part}: {seen.fault}", final=True)
    return Met(f"{wanted.folder} is sound; part {seen.part} of its data was read")


check = only_look(
    "files.check",
    "Check a repository's structure, and read a part of its data",
    Arguments,
    Seen,
    look,
    judge,
    seconds=3600,
    in_plan=lambda wanted: (
        f"restic check --read-data-subset=DAY/{wanted.parts} of {wanted.folder}",
    ),
)
