"""redis.restore_keys_undo: the keys that a restore of keys replaced or added, as they were."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.backup import keyfiles
from tasks.backup.keyfiles import Target
from tasks.host import Host
from tasks.operation import Act, Met, Operation, Refuse, Tell, Unmet


@dataclass(frozen=True, slots=True)
class Arguments(Target):
    id: str = ""  #: of the backup whose restore is undone; empty for the newest


@dataclass(frozen=True, slots=True)
class Seen:
    files: tuple[str, ...]  #: of restores of keys that are not undone


def look(host: Host, wanted: Arguments) -> Seen:
    return Seen(keyfiles.files(host, wanted.kept_in))


def _chosen(wanted: Arguments, seen: Seen) -> str:
    meant = [name for name in seen.files if name.endswith(wanted.id)]
    return meant[-1] if meant else ""


def decide(wanted: Arguments, seen: Seen) -> Act | Refuse:
    if _chosen(wanted, seen):
        return Act()
    of = f" of {wanted.id}" if wanted.id else ""
    return Refuse(f"no restore of keys{of} kept anything in {wanted.kept_in}")


def act(host: Host, wanted: Arguments, tell: Tell) -> None:
    name = _chosen(wanted, look(host, wanted))
    tell(f"putting back what is in {name}")
    keyfiles.put_back(host, wanted, name)


def judge(_wanted: Arguments, before: Seen, now: Seen) -> Met | Unmet:
    back = [name for name in before.files if name not in now.files]
    if not back:
        return Unmet("it is not put back to its end: order it again", final=True)
    return Met(f"every key in {back[0]} is what it was before that restore")


restore_keys_undo = Operation(
    "redis.restore_keys_undo",
    "Put back the keys that a restore of keys replaced",
    Arguments,
    Seen,
    look,
    decide,
    act,
    judge,
    seconds=3600,
    in_plan=lambda wanted: (
        f"read the newest {wanted.kept_in}/{keyfiles.KEPT}TIME{wanted.id and '-'}{wanted.id}",
        f"RESTORE REPLACE ABSTTL or DEL each of its keys at {wanted.address}:{wanted.port}",
    ),
)
