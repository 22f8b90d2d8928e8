"""files.list: the restore points that a repository has, also when the catalogue was lost.

Runs on the vault and changes nothing. What was proved before is told with its evidence; without
it a snapshot is `stored`, until files.prove has restored it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from tasks.backup import fileproof
from tasks.backup.restic import Repository, snapshots
from tasks.host import Host
from tasks.operation import Met, Unmet, only_look
from tasks.operations.files_prove import stored


@dataclass(frozen=True, slots=True)
class Arguments:
    job: str
    folder: str  #: the repository
    password_file: str


@dataclass(frozen=True, slots=True)
class Seen:
    points: tuple[str, ...]
    proved: int
    fault: str = ""


def look(host: Host, wanted: Arguments) -> Seen:
    found = snapshots(host, Repository(wanted.folder, wanted.password_file), wanted.job)
    if found is None:
        return Seen((), 0, f"there is no repository in {wanted.folder}")
    points, proved = [], 0
    for each in found:
        evidence = fileproof.known(host, wanted.folder, each.id)
        proved += evidence is not None and evidence.state == "verified"
        points.append((evidence or stored(wanted.job, wanted.folder, each)).told)
    return Seen(tuple(points), proved)


def judge(wanted: Arguments, seen: Seen) -> Met | Unmet:
    if seen.fault:
        return Unmet(seen.fault, final=True)
    said = [json.loads(each)["restore_point"] for each in seen.points]
    count = f"{len(said)} snapshots of {wanted.job}, {seen.proved} of them proved"
    return Met(count, json.dumps({"restore_points": said}, sort_keys=True))


found = only_look(
    "files.list",
    "List the restore points that a repository has",
    Arguments,
    Seen,
    look,
    judge,
    seconds=300,
    in_plan=lambda wanted: (f"restic snapshots --tag {wanted.job} in {wanted.folder}",),
)
