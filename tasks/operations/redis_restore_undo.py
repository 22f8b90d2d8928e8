"""redis.restore_undo: the data that a restore kept, back in its place.

What the restored server has meanwhile is kept too, in `restored-TIME`, so that this can itself
be taken back by hand. Nothing is deleted. A restore that was left half-way is taken back too.
"""

from __future__ import annotations

from dataclasses import dataclass

from tasks.backup import exchanging, fencing, places, standing
from tasks.backup.exchanging import Target
from tasks.backup.places import KEPT
from tasks.backup.standing import Standing
from tasks.host import Host
from tasks.operation import Act, ActFailed, Met, Operation, Refuse, Ripe, Tell, Unmet


@dataclass(frozen=True, slots=True)
class Arguments(Target):
    kept: str = ""  #: the name of the folder to put back; empty for the newest
    id: str = ""  #: of the backup whose restore is undone; empty for the newest


def _chosen(wanted: Arguments, kept: tuple[str, ...]) -> str:
    """The newest of those that are meant, or nothing."""
    meant = [name for name in kept if name.endswith(wanted.id) and wanted.kept in ("", name)]
    return meant[-1] if meant else ""


def decide(wanted: Arguments, seen: Standing) -> Act | Refuse:
    if _chosen(wanted, seen.kept) or (seen.closed and not wanted.kept):
        return Act()
    if not seen.kept:
        return Refuse(f"no restore kept anything in {seen.folder or 'its data folder'}")
    which = wanted.kept or f"restore of {wanted.id}"
    return Refuse(f"there is no {which} in {seen.folder}: {', '.join(seen.kept)}")


def act(host: Host, wanted: Arguments, tell: Tell) -> None:
    found = standing.discovered(host, wanted)
    left = found.fence
    found = exchanging.take_back(host, wanted, found, tell)
    if found.folder is None:
        raise ActFailed("its data folder is not there")
    if left and left.kept.startswith(f"{left.folder}/{KEPT}"):
        # Now everything is as it was before that restore.
        fencing.remove(host, wanted.unit)
        exchanging.start(host, wanted, tell)
        return
    place = places.place_of(found, found.folder)
    name = _chosen(wanted, places.kept_folders(host, place.folder))
    aside = f"{place.folder}/{places.AFTERWARDS}{places.stamp(host)}"
    exchanging.exchange(host, wanted, found, place, f"{place.folder}/{name}", aside, tell)


def release(host: Host, wanted: Arguments) -> None:
    exchanging.lift(host, wanted, standing.discovered(host, wanted))


def judge(_wanted: Arguments, before: Standing, now: Standing) -> Met | Unmet | Ripe:
    back = [name for name in before.kept if name not in now.kept]
    if before.closed and not now.closed and not now.complaint and now.ready:
        return Met(f"the restore that was left half-way is undone, {now.keys} keys are there")
    if unmet := standing.not_new(before, now):
        return unmet
    if not back:
        return Unmet("the kept data is where it was: nothing was put back", final=True)
    if now.indexing:
        return Unmet(f"its search indexes are being filled: {now.indexing}")
    if now.closed:
        return Ripe(f"what was kept in {back[0]} is back, and nobody is let in yet")
    return Met(f"what was kept in {back[0]} is back, with {now.keys} keys")


def in_plan(wanted: Arguments) -> tuple[str, ...]:
    which = wanted.kept or f"the newest {KEPT}TIME{wanted.id and '-'}{wanted.id}"
    return (
        f"write {fencing.folder_of(wanted.unit)}/{fencing.FILE}: nobody but us reaches it",
        f"systemctl stop {wanted.unit}",
        f"mv what is there to {places.AFTERWARDS}TIME/",
        f"mv {which} back into place",
        f"systemctl start {wanted.unit}",
        "CONFIG SET bind as it was, and remove that file: clients and replicas are let in",
    )


restore_undo = Operation(
    "redis.restore_undo",
    "Put back the Redis data that a restore kept",
    Arguments,
    Standing,
    standing.look,
    decide,
    act,
    judge,
    seconds=1800,
    in_plan=in_plan,
    release=release,
)
