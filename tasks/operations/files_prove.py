"""files.prove: a snapshot of files is restored to a scratch folder, opened and compared.

Runs on the vault. Done means that fresh evidence beside the repository says `verified`: each file
has its hash, each database opens and is sound, each bundle was cloned.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

from tasks.backup import fileproof
from tasks.backup.restic import COPY_SECONDS, Repository, Snapshot, point_id, snapshots
from tasks.host import Host, Ran
from tasks.operation import Act, ActFailed, Met, Operation, Refuse, Tell, Unmet

#: So far two clocks may be apart.
CLOCKS_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Arguments:
    job: str
    folder: str  #: the repository
    password_file: str
    snapshot: str = ""  #: the newest, if not given


@dataclass(frozen=True, slots=True)
class Seen:
    snapshot: str = ""
    fault: str = ""
    state: str = "stored"
    reason: str = ""
    verified_at: float = 0.0
    holds: str = ""
    point: str = ""  #: for the coordinator's catalogue


def look(host: Host, wanted: Arguments) -> Seen:
    repository = Repository(wanted.folder, wanted.password_file)
    found = snapshots(host, repository, wanted.job)
    if found is None:
        return Seen(fault=f"there is no repository in {wanted.folder}")
    fitting = [each for each in found if each.id.startswith(wanted.snapshot)]
    if not fitting:
        return Seen(fault=f"{wanted.folder} has no snapshot {wanted.snapshot} of {wanted.job}")
    newest = fitting[-1]
    if newest.taken_at > host.now() + CLOCKS_SECONDS:
        # By it the age of all others would be counted, when old ones are removed.
        name = point_id(wanted.job, newest.id)
        return Seen(fault=f"{name} is of a time to come; see to the clock of its machine")
    return _known(host, wanted, newest)


def _known(host: Host, wanted: Arguments, snapshot: Snapshot) -> Seen:
    evidence = fileproof.known(host, wanted.folder, snapshot.id)
    if evidence is None:
        evidence = stored(wanted.job, wanted.folder, snapshot)
    return Seen(
        snapshot.id,
        "",
        evidence.state,
        evidence.reason,
        evidence.verified_at or 0.0,
        evidence.holds,
        evidence.told,
    )


def stored(job: str, folder: str, snapshot: Snapshot) -> fileproof.Evidence:
    """What the repository alone tells of it."""
    at = snapshot.taken_at
    name = point_id(job, snapshot.id)
    return fileproof.Evidence(name, folder, at, at, None, "stored", "", 0, "")


def decide(_wanted: Arguments, seen: Seen) -> Act | Refuse:
    return Refuse(seen.fault) if seen.fault else Act()


def act(host: Host, wanted: Arguments, tell: Tell) -> None:
    snapshot = look(host, wanted).snapshot
    tell(f"restoring {point_id(wanted.job, snapshot)} to a scratch folder, and comparing it")
    given = {"location": wanted.folder, "password_file": wanted.password_file}
    ran = prove(host, {"folder": wanted.folder, "job": wanted.job, "snapshot": snapshot, **given})
    if not ran.ok:
        raise ActFailed(ran.complaint)


def prove(host: Host, settings: dict[str, str]) -> Ran:
    # A process of its own: it ends at the deadline, and its memory is not the agent's.
    argv = (sys.executable, "-m", "tasks.backup.fileproof", "--settings", "/dev/stdin")
    return host.run(argv, seconds=COPY_SECONDS, stdin=json.dumps(settings).encode())


def judge(wanted: Arguments, before: Seen, now: Seen) -> Met | Unmet:
    name = point_id(wanted.job, now.snapshot)
    if now.fault:
        return Unmet(now.fault, final=True)
    if now.state == "failed":
        return Unmet(f"{name} failed its proof: {now.reason}", now.point, final=True)
    if now.state == "verified" and now.verified_at > before.verified_at:
        return Met(f"{name} was restored, opened and compared: {now.holds}", now.point)
    return Unmet(f"{name} is {now.state}, and was not proved anew", now.point)


proof = Operation(
    "files.prove",
    "Restore a snapshot to a scratch folder, open everything in it and compare",
    Arguments,
    Seen,
    look,
    decide,
    act,
    judge,
    seconds=3600,
    in_plan=lambda wanted: (
        f"restic restore {wanted.snapshot or 'the newest snapshot'} of {wanted.folder} to scratch",
        "sha256sum of each file, compared with the snapshot's manifest",
        "PRAGMA integrity_check of each database, git clone of each bundle",
    ),
)
