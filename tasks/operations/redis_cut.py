"""redis.cut: what was captured of a Redis becomes a backup, and is proved; now, or of any second.

Runs on the machine that keeps backups, beside a capture. Done means that a backup folder is
there that was not there before, and that its manifest says `verified`: the history was loaded
and compared with the source, and what was saved of it was loaded once more.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

from tasks.backup import proving, telling
from tasks.backup.manifest import Manifest, NotAManifest, State
from tasks.backup.scratch import COPY_SECONDS
from tasks.host import Host
from tasks.operation import Act, ActFailed, Leave, Met, Operation, Tell, Unmet
from tasks.operations._redis_backups import backups_in, judged, keys_of, new_in


@dataclass(frozen=True, slots=True)
class Arguments:
    into: str  #: the folder for this Redis's backups
    captured: str  #: the folder that its capture writes
    address: str
    port: int = 6379
    password_file: str = ""  #: on the machine that keeps backups
    user: str = ""
    at: int | None = None  #: as it was after this second (Unix time); else as it is now
    name: str = ""  #: of the new backup, where somebody has to know it before
    patterns: tuple[str, ...] = ()  #: counted in the proof, such as doc:* and fact:*
    window_s: float = 2 * 86400.0  #: any second of it stays; histories before it go
    server: str = "redis-server"  #: the programs for the scratch server, of the same version
    cli: str = "redis-cli"


@dataclass(frozen=True, slots=True)
class Seen:
    backups: tuple[str, ...]  #: by name, which is by time
    wanted: str = ""  #: the one that is asked for by its name, once it is verified
    state: str = ""  #: of the newest
    reason: str = ""
    keys: int = 0
    size_bytes: int = 0
    point: str = ""  #: for the coordinator's catalogue


def look(host: Host, wanted: Arguments) -> Seen:
    names = backups_in(host, wanted.into)
    newest = wanted.name if wanted.name in names else next(reversed(names), "")
    if not newest:
        return Seen(names)
    folder = f"{wanted.into}/{newest}"
    try:
        known = proving.read_manifest(host, folder)
    except NotAManifest as fault:
        return Seen(names, "", State.FAILED.value, str(fault))
    there = newest if newest == wanted.name and known.state is State.VERIFIED else ""
    return Seen(names, there, known.state.value, known.reason, *_facts(folder, known))


def _facts(folder: str, known: Manifest) -> tuple[int, int, str]:
    return keys_of(known), known.size_bytes, telling.restore_point(folder, known)


def decide(_wanted: Arguments, seen: Seen) -> Act | Leave:
    return Leave(f"{seen.wanted} is there already, and verified") if seen.wanted else Act()


def act(host: Host, wanted: Arguments, tell: Tell) -> None:
    when = "" if wanted.at is None else f", as it was after second {wanted.at}"
    tell(f"loading what was captured in {wanted.captured} in a scratch server{when}")
    taken = json.loads(_run(host, settings(wanted)))
    tell(f"{taken['folder']}: {taken['size_bytes']} bytes")


def settings(wanted: Arguments, *, only_plan: bool = False) -> str:
    given = {
        "into": wanted.into,
        "captured": wanted.captured,
        "address": wanted.address,
        "port": wanted.port,
        "password_file": wanted.password_file,
        "user": wanted.user,
        "at": wanted.at,
        "name": wanted.name,
        "only_plan": only_plan,
        "patterns": list(wanted.patterns),
        "server": wanted.server,
        "cli": wanted.cli,
        "window_s": wanted.window_s,
    }
    return json.dumps(given)


def _run(host: Host, given: str) -> str:
    # A process of its own: it ends at the deadline, and its memory is not the agent's.
    argv = (sys.executable, "-m", "tasks.backup.cutting", "--settings", "/dev/stdin")
    ran = host.run(argv, seconds=COPY_SECONDS, stdin=given.encode())
    if not ran.ok:
        raise ActFailed(f"no backup was made of it: {ran.complaint}")
    return ran.out


def judge(wanted: Arguments, before: Seen, now: Seen) -> Met | Unmet:
    new = new_in(before.backups, now.backups)
    if not new:
        return Unmet(f"there is no new backup in {wanted.into}")
    folder = f"{wanted.into}/{wanted.name or new}"
    said = f"{now.keys} keys, {now.size_bytes} bytes, from what was captured, proved by loading"
    return judged(folder, now.state, now.reason, now.point, said)


cut = Operation(
    "redis.cut",
    "Make a backup of what was captured of Redis, and prove it",
    Arguments,
    Seen,
    look,
    decide,
    act,
    judge,
    seconds=3600,
    in_plan=lambda wanted: (
        f"check the hashes of the newest history in {wanted.captured}"
        if wanted.at is None
        else f"choose the history in {wanted.captured} that has {wanted.at}, check its hashes",
        "redis-server on a socket of its own loads base and log"
        + ("" if wanted.at is None else f", cut by redis-check-aof after {wanted.at}"),
        f"save it as a new folder in {wanted.into}, load that once more, compare",
    ),
)
