"""redis.restore_undo: the data that a restore kept, back in its place.

What the restored server has meanwhile is kept too, in `restored-TIME`, so that this can itself
be taken back by hand. Nothing is deleted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tasks import systemd
from tasks.backup import restoring
from tasks.backup.asking import Where
from tasks.backup.discovery import discover
from tasks.host import Host, HostFault
from tasks.operation import Act, ActFailed, Met, Operation, Refuse, Tell, Unmet


@dataclass(frozen=True, slots=True)
class Arguments:
    unit: str
    address: str
    port: int = 6379
    password_file: str = ""
    kept: str = ""  #: the name of the folder to put back; empty for the newest
    stop_seconds: float = 300.0
    start_seconds: float = 900.0

    @property
    def where(self) -> Where:
        return Where(self.unit, self.address, self.port, self.password_file)


@dataclass(frozen=True, slots=True)
class Seen:
    active: str
    invocation: str
    main_pid: int
    complaint: str
    final: bool
    folder: str
    kept: tuple[str, ...]  #: folders of earlier restores that hold something
    ready: bool  #: it answers and has loaded
    keys: int


def look(host: Host, wanted: Arguments) -> Seen:
    unit = systemd.show(host, wanted.unit)
    down = systemd.not_up(wanted.unit, replace(unit, check=""))
    found = discover(host, wanted.where)
    folder = found.folder.path if found.folder else ""
    info = found.info or {}
    return Seen(
        unit.active,
        unit.invocation,
        unit.main_pid,
        down.reason if down else "",
        bool(down and down.final),
        folder,
        restoring.kept_folders(host, folder) if folder else (),
        info.get("loading") == "0",
        sum(found.keys.values()),
    )


def decide(wanted: Arguments, seen: Seen) -> Act | Refuse:
    if not seen.kept:
        return Refuse(f"no restore kept anything in {seen.folder or 'its data folder'}")
    if wanted.kept and wanted.kept not in seen.kept:
        return Refuse(f"there is no {wanted.kept} in {seen.folder}: {', '.join(seen.kept)}")
    return Act()


def act(host: Host, wanted: Arguments, tell: Tell) -> None:
    found = discover(host, wanted.where)
    if found.folder is None:
        raise ActFailed("its data folder is not there")
    place = restoring.place_of(found, found.folder)
    kept = f"{place.folder}/{wanted.kept or restoring.kept_folders(host, place.folder)[-1]}"
    aside = f"{place.folder}/{restoring.AFTERWARDS}{restoring.stamp(host)}"
    restoring.new_folder(host, aside)
    try:
        restoring.fence(host, wanted.where, found, aside, place, tell)
        restoring.stop(host, wanted.unit, seconds=wanted.stop_seconds, tell=tell)
    except (ActFailed, HostFault):
        restoring.unfence(host, wanted.where, found)
        restoring.give_up(host, "", aside)
        raise
    try:
        restoring.exchange(host, place, kept, aside, tell)
    finally:
        restoring.start(
            host,
            wanted.unit,
            seconds=wanted.start_seconds,
            endless=found.unit_type == "notify",
            tell=tell,
        )


def judge(_wanted: Arguments, before: Seen, now: Seen) -> Met | Unmet:
    if now.active == "active" and now.invocation == before.invocation:
        return Unmet(f"still the old server runs, pid {now.main_pid}")
    back = [name for name in before.kept if name not in now.kept]
    if now.complaint:
        return Unmet(now.complaint, final=now.final)
    if not now.ready:
        return Unmet("it is up and has not loaded its data yet, or does not say so")
    if not back:
        return Unmet("the kept data is where it was: nothing was put back", final=True)
    return Met(f"what was kept in {back[0]} is back, with {now.keys} keys")


restore_undo = Operation(
    "redis.restore_undo",
    "Put back the Redis data that a restore kept",
    Arguments,
    Seen,
    look,
    decide,
    act,
    judge,
    seconds=1800,
    in_plan=lambda wanted: (
        f"systemctl stop {wanted.unit}",
        f"mv what is there to {restoring.AFTERWARDS}TIME/",
        f"mv {wanted.kept or 'the newest ' + restoring.KEPT + 'TIME'} back into place",
        f"systemctl start {wanted.unit}",
    ),
)
