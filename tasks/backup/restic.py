"""restic, which stores everything that is not a dump of Redis: its commands and its answers.

What lives here: how it is called and how its answers are read. What must not: what is in a
snapshot (filemanifest.py), and any repository format of our own. Version 0.14 must do. Only exit
code 0 is a success: 3 means that it left something out.

Nothing is cached, and reading takes no lock, so that a lock left by a crash keeps nobody from
looking or restoring. `unlock` removes stale ones alone.
"""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from tasks.contract import Json
from tasks.headway import Moved, Tell
from tasks.host import Host, HostFault, Ran
from tasks.operation import ActFailed
from tasks.pipes import OnLine

LOOK_SECONDS, COPY_SECONDS = 300.0, 6 * 3600.0
#: So many snapshots of a job are looked at. More would not fit what a look may answer.
NEWEST = "100"
OLDEST = (0, 14)
EVERY_DAY = tuple(range(7))
_NONE_THERE = "Is there a repository at the following location?"


@dataclass(frozen=True, slots=True)
class Repository:
    location: str  #: a folder, or what else restic takes
    password_file: str
    program: str = ""  #: the command that serves it to rclone's protocol, if one does

    def command(self, *words: str) -> tuple[str, ...]:
        served = ("-o", f"rclone.program={self.program}") if self.program else ()
        own = ("-r", self.location, "--password-file", self.password_file, "--no-cache")
        return ("restic", *own, *served, *words)


@dataclass(frozen=True, slots=True)
class Pushing:
    """The way from a machine to its vault. Its key opens nothing but an append-only door."""

    folder: str  #: on the vault
    address: str = ""  #: of the vault; empty where that is this machine
    user: str = ""
    key: str = ""
    port: int = 22
    known_hosts: str = ""

    def repository(self, password_file: str) -> Repository:
        if not self.address:
            return Repository(self.folder, password_file)
        known = ("-o", f"UserKnownHostsFile={self.known_hosts}") if self.known_hosts else ()
        options = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=15")
        way = ("-i", self.key, "-p", str(self.port), f"{self.user}@{self.address}")
        program = shlex.join(("ssh", *options, *known, *way))
        # Which folder is served stands with the key on the vault; this name is never used.
        return Repository("rclone:vault", password_file, program)


@dataclass(frozen=True, slots=True)
class Snapshot:
    id: str
    taken_at: float
    path: str  #: of what is in it
    original: str = ""  #: that it was copied from

    @property
    def short(self) -> str:
        return self.id[:8]


def demand_version(host: Host) -> None:
    """Raises HostFault where restic is not there, or too old to copy between repositories."""
    ran = host.run(("restic", "version"), seconds=LOOK_SECONDS)
    found = re.match(r"restic (\d+)\.(\d+)", ran.out)
    if not found:
        raise HostFault(f"restic: {complaint(ran)}")
    if (int(found[1]), int(found[2])) < OLDEST:
        raise HostFault(f"{found[0]} is too old; 0.14 or newer is needed")


def is_day(host: Host, days: Sequence[int]) -> bool:
    """Whether today, in UTC, is one of these; 0 is Monday."""
    return time.gmtime(host.now()).tm_wday in days


def point_id(job: str, snapshot: str) -> str:
    """The name of a restore point tells its snapshot."""
    return f"{job}-{snapshot[:8]}"


def snapshot_of(point: str) -> str:
    return point.rpartition("-")[2]


def snapshots(host: Host, repository: Repository, job: str) -> tuple[Snapshot, ...] | None:
    """Those of a job, the oldest first; None where there is no repository. Raises HostFault."""
    words = ("snapshots", "--no-lock", "--json", "--tag", job, "--latest", NEWEST)
    ran = host.run(repository.command(*words), seconds=LOOK_SECONDS)
    if not ran.ok and _NONE_THERE in ran.err:
        return None
    found = _json(ran, f"the snapshots in {repository.location}")
    return tuple(sorted(map(_snapshot, found), key=lambda each: each.taken_at))


def may_go(
    host: Host, repository: Repository, job: str, keep: Sequence[str]
) -> tuple[Snapshot, ...]:
    """The snapshots that these rules would remove. Raises HostFault."""
    words = ("forget", "--dry-run", "--no-lock", "--json", *_rules(job, keep))
    ran = host.run(repository.command(*words), seconds=LOOK_SECONDS)
    found = _json(ran, f"what may go from {repository.location}")
    return tuple(_snapshot(each) for group in found for each in group["remove"] or ())


def forgetting(job: str, keep: Sequence[str]) -> tuple[str, ...]:
    return ("forget", "--quiet", "--prune", *_rules(job, keep))


def _rules(job: str, keep: Sequence[str]) -> tuple[str, ...]:
    return ("--tag", job, "--group-by", "host", *keep)


def locks(host: Host, repository: Repository) -> tuple[str, ...]:
    ran = host.run(repository.command("list", "locks", "--no-lock"), seconds=LOOK_SECONDS)
    if not ran.ok:
        raise HostFault(f"the locks of {repository.location}: {complaint(ran)}")
    return tuple(ran.out.split())


def throttled(bytes_per_s: float) -> tuple[str, ...]:
    """For any command that sends: no more than that in a second; 0 is as much as it can."""
    return ("--limit-upload", f"{max(1, round(bytes_per_s / 1024))}") if bytes_per_s else ()


def heard(what: str, tell: Tell) -> Callable[[bytes], None]:
    """Takes the status lines of `restic backup --json`."""

    def take(line: bytes) -> None:
        try:
            said = json.loads(line)
            if said["message_type"] == "status":
                moved = Moved(what, int(said.get("bytes_done", 0)), int(said["total_bytes"]))
                tell.moved(moved)
        except (ValueError, KeyError, TypeError):
            return

    return take


def demand(host: Host, repository: Repository, *words: str, on_line: OnLine | None = None) -> None:
    """A command that changes the repository elsewhere. Raises ActFailed with restic's reason."""
    ran = host.run(repository.command(*words), seconds=COPY_SECONDS, on_line=on_line)
    if not ran.ok:
        raise ActFailed(f"restic {words[0]} to {repository.location}: {complaint(ran)}")


def complaint(ran: Ran) -> str:
    """What restic says was wrong; whoever serves it talks on the same stream."""
    fatal = [said for line in ran.err.splitlines() if (said := _said(line)).startswith("Fatal: ")]
    if ran.exit_code == 3:
        return f"it left something out (exit code 3): {ran.complaint}"
    if ran.exit_code == 127:
        return f"{ran.complaint}; apt-get install restic"
    return fatal[-1].removeprefix("Fatal: ") if fatal else ran.complaint


def _said(line: str) -> str:
    """With --json, newer ones put their last words into JSON too."""
    try:
        return str(json.loads(line)["message"])
    except (ValueError, KeyError, TypeError):
        return line


def _json(ran: Ran, what: str) -> list[Json]:
    if not ran.ok:
        raise HostFault(f"{what}: {complaint(ran)}")
    try:
        found: list[Json] = json.loads(ran.out or "[]")
    except ValueError as error:
        raise HostFault(f"{what}: restic gave no JSON: {error}") from error
    return found


def _snapshot(said: Json) -> Snapshot:
    at = datetime.fromisoformat(said["time"]).timestamp()
    return Snapshot(said["id"], at, said["paths"][0], said.get("original", ""))
