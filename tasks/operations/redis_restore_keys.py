"""redis.restore_keys: some keys of a proved backup, into the live server; it is not stopped.

The backup is loaded in a scratch server on this machine, and what matches is copied from there,
times to live included. What that replaces is first written to a file, from which
redis.restore_keys_undo puts it back. Other keys are not touched.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tasks.backup import keyfiles, proving
from tasks.backup.keyfiles import Target
from tasks.backup.manifest import NotAManifest, State
from tasks.host import Host
from tasks.operation import Act, ActFailed, Leave, Met, Operation, Refuse, Tell, Unmet


@dataclass(frozen=True, slots=True)
class Arguments(Target):
    backup: str = ""  #: a folder on this machine, with dump.rdb and manifest.json
    id: str = ""  #: the backup that is meant, so that another one in its place is refused
    pattern: str = ""  #: as KEYS has it, such as doc:*
    database: int = -1  #: only this one; all of the backup's when negative
    dry_run: bool = False  #: count only


@dataclass(frozen=True, slots=True)
class Seen:
    refusal: str = ""
    would: str = ""  #: what a dry run has counted
    files: tuple[str, ...] = ()  #: of earlier restores of keys, by name, which is by time
    end: str = ""  #: what the newest says of its end, or nothing


def look(host: Host, wanted: Arguments) -> Seen:
    files = keyfiles.files(host, wanted.kept_in)
    return Seen(files=files, end=keyfiles.end(host, wanted.kept_in, files))


def look_before(host: Host, wanted: Arguments) -> Seen:
    seen = look(host, wanted)
    if reason := _why_not(host, wanted):
        return replace(seen, refusal=f"nothing was changed: {reason}")
    if not wanted.dry_run:
        return seen
    try:
        copied = keyfiles.copy(host, wanted, _given(wanted), kept="")
    except ActFailed as failure:
        return replace(seen, refusal=f"nothing was changed: {failure}")
    return replace(seen, would=f"{copied['added']} would be added, {copied['replaced']} replaced")


def _why_not(host: Host, wanted: Arguments) -> str:
    if not wanted.backup or not wanted.pattern:
        return "a restore of keys needs a backup and a pattern, such as doc:*"
    try:
        known = proving.read_manifest(host, wanted.backup)
    except NotAManifest as fault:
        return str(fault)
    if wanted.id and known.id != wanted.id:
        return f"the backup there is {known.id}, and {wanted.id} was ordered"
    if known.state is not State.VERIFIED:
        return f"the backup {known.id} is {known.state.value} {known.reason}: prove it first"
    return ""


def _given(wanted: Arguments) -> dict[str, str | int]:
    return {
        "backup": wanted.backup,
        "pattern": wanted.pattern,
        "database": wanted.database,
        "server": wanted.server,
        "cli": wanted.cli,
    }


def decide(wanted: Arguments, seen: Seen) -> Act | Leave | Refuse:
    if seen.refusal:
        return Refuse(seen.refusal)
    if wanted.dry_run:
        return Leave(f"of the keys like {wanted.pattern} {seen.would}; nothing was changed")
    return Act()


def act(host: Host, wanted: Arguments, tell: Tell) -> None:
    kept = keyfiles.new(host, wanted.kept_in, wanted.id)
    tell(f"loading {wanted.backup} in a scratch server, and copying {wanted.pattern} from there")
    keyfiles.copy(host, wanted, _given(wanted), kept=kept)


def judge(wanted: Arguments, before: Seen, now: Seen) -> Met | Unmet:
    new = [f"{wanted.kept_in}/{name}" for name in now.files if name not in before.files]
    if not new:
        return Unmet("no key was copied", final=True)
    if not now.end:
        reason = f"it ended before its end; what was replaced until then is in {new[-1]}"
        return Unmet(f"{reason}, redis.restore_keys_undo puts it back", final=True)
    return Met(
        f"keys like {wanted.pattern}: {now.end}; what was there is kept in {new[-1]}, "
        "redis.restore_keys_undo puts it back"
    )


def in_plan(wanted: Arguments) -> tuple[str, ...]:
    copied = f"SCAN MATCH {wanted.pattern}, DUMP and PEXPIRETIME there"
    steps = (
        f"sha256sum {wanted.backup}/dump.rdb, compared with its manifest",
        "redis-server on a socket of its own loads it",
    )
    if wanted.dry_run:
        return (*steps, f"{copied}; count what is in the live server")
    return (
        *steps,
        f"{copied}; write what the live server has to {wanted.kept_in}/{keyfiles.KEPT}TIME",
        f"RESTORE REPLACE ABSTTL at {wanted.address}:{wanted.port}; other keys are not touched",
    )


restore_keys = Operation(
    "redis.restore_keys",
    "Restore some keys of a proved backup into the live Redis",
    Arguments,
    Seen,
    look,
    decide,
    act,
    judge,
    seconds=3600,
    look_before=look_before,
    in_plan=in_plan,
)
