"""redis.backup: a new dump of a Redis, taken by replication, and proved in a scratch server.

Runs on the machine that keeps backups. Done means that a backup folder is there that was not
there before, and that its manifest says `verified`: it was loaded, and counted.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, fields, replace

from tasks.backup import dump, proving, telling
from tasks.backup.manifest import NotAManifest, State
from tasks.backup.pacing import heard
from tasks.backup.scratch import COPY_SECONDS, Programs
from tasks.host import Host, HostFault
from tasks.operation import Act, ActFailed, Met, Operation, Tell, Unmet
from tasks.operations._redis_backups import backups_in, judged, keys_of, new_in


@dataclass(frozen=True, slots=True)
class Arguments:
    into: str  #: the folder for this Redis's backups
    address: str
    port: int = 6379
    password_file: str = ""  #: on the machine that keeps backups
    user: str = ""  #: an ACL user; empty for the default one
    tls: bool = False
    ca_file: str = ""  #: on the machine that keeps backups; where the system's CAs do not do
    pin_sha256: str = ""  #: of the one certificate that counts
    patterns: tuple[str, ...] = ()  #: counted in the proof, such as doc:* and fact:*
    server: str = "redis-server"  #: the programs for the scratch server, of the same version
    cli: str = "redis-cli"
    #: No faster than that, and the scratch load behind all else; 0 is as fast as it comes.
    bytes_per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Seen:
    backups: tuple[str, ...]  #: by name, which is by time
    state: str = ""  #: of the newest
    reason: str = ""
    keys: int = 0
    size_bytes: int = 0
    point: str = ""  #: for the coordinator's catalogue


def look(host: Host, wanted: Arguments) -> Seen:
    names = backups_in(host, wanted.into)
    if not names:
        return Seen(())
    folder = f"{wanted.into}/{names[-1]}"
    try:
        known = proving.read_manifest(host, folder)
    except NotAManifest as fault:
        return Seen(names, State.FAILED.value, str(fault))
    keys = keys_of(known)
    point = telling.restore_point(folder, known)
    return Seen(names, known.state.value, known.reason, keys, known.size_bytes, point)


def decide(_wanted: Arguments, _seen: Seen) -> Act:
    return Act()


def act(host: Host, wanted: Arguments, tell: Tell) -> None:
    tell(f"receiving a dump from {wanted.address}:{wanted.port}")
    settings = {each.name: getattr(wanted, each.name) for each in fields(dump.Settings)}
    # A process of its own: it ends at the deadline, and its memory is not the agent's.
    argv = (sys.executable, "-m", "tasks.backup.dump", "--settings", "/dev/stdin")
    ran = host.run(
        argv,
        seconds=COPY_SECONDS,
        stdin=json.dumps(settings).encode(),
        on_line=heard("receiving the dump", tell),
    )
    if not ran.ok:
        raise ActFailed(f"no dump was taken: {ran.complaint}")
    taken = json.loads(ran.out.splitlines()[-1])
    tell(f"loading {taken['size_bytes']} bytes in a scratch server")
    programs = Programs(wanted.server, wanted.cli, gentle=wanted.bytes_per_s > 0)
    prove(host, taken["folder"], wanted.patterns, programs, tell)


def prove(
    host: Host, folder: str, patterns: tuple[str, ...], programs: Programs, tell: Tell
) -> None:
    """With the modules of the source, from where they were there. Raises ActFailed."""
    try:
        modules = proving.read_manifest(host, folder).module_files
        proving.prove(host, folder, replace(programs, modules=modules), patterns, tell=tell)
    except NotAManifest as fault:
        raise ActFailed(str(fault)) from fault
    except HostFault as fault:
        raise ActFailed(f"{folder} was not proved: {fault}") from fault


def judge(wanted: Arguments, before: Seen, now: Seen) -> Met | Unmet:
    new = new_in(before.backups, now.backups)
    if not new:
        return Unmet(f"there is no new backup in {wanted.into}")
    said = f"{now.keys} keys, {now.size_bytes} bytes, proved by loading it"
    return judged(f"{wanted.into}/{new}", now.state, now.reason, now.point, said)


backup = Operation(
    "redis.backup",
    "Take a dump of Redis by replication and prove it in a scratch server",
    Arguments,
    Seen,
    look,
    decide,
    act,
    judge,
    seconds=3600,
    endable=True,
    in_plan=lambda wanted: (
        f"receive a dump from {wanted.address}:{wanted.port} as a replica would",
        f"write it to a new folder in {wanted.into}, with its manifest",
        "redis-server on a socket of its own loads it; its keys are counted",
    ),
)
