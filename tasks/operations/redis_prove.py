"""redis.prove: a backup is loaded in a scratch server again, and is still what it should be."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.backup import proving, telling
from tasks.backup.manifest import NotAManifest, State
from tasks.backup.scratch import Programs
from tasks.host import Host
from tasks.operation import Act, Met, Operation, Refuse, Tell, Unmet
from tasks.operations.redis_backup import prove as prove_folder


@dataclass(frozen=True, slots=True)
class Arguments:
    backup: str  #: a folder on this machine, with dump.rdb and manifest.json
    patterns: tuple[str, ...] = ()  #: counted, where no earlier proof says which
    server: str = "redis-server"
    cli: str = "redis-cli"


@dataclass(frozen=True, slots=True)
class Seen:
    fault: str = ""
    state: str = ""
    reason: str = ""
    verified_at: float = 0.0
    keys: int = 0
    point: str = ""  #: for the coordinator's catalogue


def look(host: Host, wanted: Arguments) -> Seen:
    try:
        known = proving.read_manifest(host, wanted.backup)
    except NotAManifest as fault:
        return Seen(str(fault))
    keys = known.contents.total if known.contents else 0
    point = telling.restore_point(wanted.backup, known)
    return Seen("", known.state.value, known.reason, known.verified_at or 0.0, keys, point)


def decide(_wanted: Arguments, seen: Seen) -> Act | Refuse:
    return Refuse(seen.fault) if seen.fault else Act()


def act(host: Host, wanted: Arguments, tell: Tell) -> None:
    tell(f"loading {wanted.backup} in a scratch server")
    programs = Programs(wanted.server, wanted.cli)
    prove_folder(host, wanted.backup, wanted.patterns, programs, tell)


def judge(wanted: Arguments, before: Seen, now: Seen) -> Met | Unmet:
    if now.fault:
        return Unmet(now.fault, final=True)
    if now.state == State.FAILED:
        return Unmet(f"{wanted.backup} failed its proof: {now.reason}", now.point, final=True)
    if now.state == State.VERIFIED and now.verified_at > before.verified_at:
        said = f"{wanted.backup} was loaded, and its {now.keys} keys are what they should be"
        return Met(said, now.point)
    return Unmet(f"{wanted.backup} is {now.state}, and was not proved anew")


prove = Operation(
    "redis.prove",
    "Load a backup of Redis in a scratch server and compare it with its manifest",
    Arguments,
    Seen,
    look,
    decide,
    act,
    judge,
    seconds=3600,
    endable=True,
    in_plan=lambda wanted: (
        f"sha256sum {wanted.backup}/dump.rdb, compared with its manifest",
        "redis-server on a socket of its own loads it; counts and samples are compared",
    ),
)
