"""files.restore: a snapshot of this machine's files, in a folder of its own beside what is in use.

Runs on the machine that it is for, and reads through the door by which it pushes. Nothing in use
is touched: the folder has a script, `place.sh`, that puts things in place, and one to go back.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass

from tasks.backup import filemanifest
from tasks.backup.restic import COPY_SECONDS, Pushing, point_id
from tasks.host import Host
from tasks.operation import Act, ActFailed, Leave, Met, Operation, Tell, Unmet


@dataclass(frozen=True, slots=True)
class Arguments:
    job: str
    snapshot: str
    folder: str  #: of the repository, on the vault
    password_file: str  #: on this machine
    restored: str  #: a folder here; the snapshot becomes a folder in it
    vault_address: str = ""  #: empty where this machine is the vault
    push_user: str = ""
    push_key: str = ""
    push_port: int = 22
    push_known_hosts: str = ""

    @property
    def into(self) -> str:
        return f"{self.restored}/{point_id(self.job, self.snapshot)}"


@dataclass(frozen=True, slots=True)
class Seen:
    there: bool


def look(host: Host, wanted: Arguments) -> Seen:
    argv = ("test", "-f", f"{wanted.into}/{filemanifest.NAME}")
    return Seen(host.run(argv, seconds=30).ok)


def decide(wanted: Arguments, seen: Seen) -> Act | Leave:
    return Leave(f"it is in {wanted.into} already; {_next(wanted)}") if seen.there else Act()


def _next(wanted: Arguments) -> str:
    return f"`sh {wanted.into}/place.sh` puts it in place"


def act(host: Host, wanted: Arguments, tell: Tell) -> None:
    way = (wanted.push_user, wanted.push_key, wanted.push_port, wanted.push_known_hosts)
    pushing = Pushing(wanted.folder, wanted.vault_address, *way)
    settings = {
        **asdict(pushing.repository(wanted.password_file)),
        "snapshot": wanted.snapshot,
        "into": wanted.into,
    }
    tell(f"restoring to {wanted.into}")
    argv = (sys.executable, "-m", "tasks.backup.filerestore", "--settings", "/dev/stdin")
    ran = host.run(argv, seconds=COPY_SECONDS, stdin=json.dumps(settings).encode())
    if not ran.ok:
        raise ActFailed(ran.complaint)


def judge(wanted: Arguments, _before: Seen, now: Seen) -> Met | Unmet:
    if now.there:
        return Met(f"everything is in {wanted.into}, compared by hash; {_next(wanted)}")
    return Unmet(f"{wanted.into} is not there")


restore = Operation(
    "files.restore",
    "Restore a snapshot of files into a folder beside what is in use",
    Arguments,
    Seen,
    look,
    decide,
    act,
    judge,
    seconds=3600,
    in_plan=lambda wanted: (
        f"restic restore {wanted.snapshot} to {wanted.into}; nothing in use is touched",
        "sha256sum of each file, compared with the snapshot's manifest",
        f"afterwards, by hand: sh {wanted.into}/place.sh",
    ),
)
