"""A Redis stopped, other data in the place of its own, and started behind a fence. No deciding.

What lives here: the moves on a machine, in the order in which a crash or a power cut after any
of them loses nothing and opens nothing: the new data is complete beside the old before anything
is stopped; the fence is there before the service ends; the old data is renamed, its dump and
its append-only directory, never overwritten; then the new is renamed into place, so that it is
loaded whether append-only is on or off. What must not: whether it may be done, and what new
data is made of (restoring.py). A restore and its undoing are this with other folders.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace

from tasks import systemd
from tasks.backup import fencing
from tasks.backup.asking import Where, ask, pause_after
from tasks.backup.discovery import SERVERS, Found, discover
from tasks.backup.fencing import Fence
from tasks.backup.places import (
    AFTERWARDS,
    INCOMING,
    SAVED_BEFORE,
    Place,
    move,
    new_folder,
    stamp,
    there,
    within,
)
from tasks.backup.scratch import COPY_SECONDS, ran
from tasks.host import Host, HostFault
from tasks.operation import ActFailed, Tell
from tasks.resp import ErrorReply

#: The first whose address can be changed while it runs.
FENCEABLE = (6, 2)
#: A server that has no port by then has ended again.
LISTEN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Target:
    """The Redis whose data is exchanged."""

    unit: str
    address: str
    port: int = 6379
    password_file: str = ""
    user: str = ""
    tls: bool = False
    ca_file: str = ""
    pin_sha256: str = ""
    data: str = ""  #: the folder with its data, when it is not the one that Redis says
    stop_seconds: float = 300.0
    start_seconds: float = 900.0

    @property
    def where(self) -> Where:
        return Where(
            self.unit,
            self.address,
            self.port,
            self.password_file,
            self.user,
            self.tls,
            self.ca_file,
            self.pin_sha256,
        )


def why_not_fenced(found: Found) -> str:
    """What keeps a fence from being built, or nothing."""
    program = found.program.rpartition("/")[2]
    version = (found.info or {}).get("redis_version", "")
    if program not in SERVERS:
        return f"its unit starts {program or 'nothing that is known'} and no server itself"
    if version and tuple(int(part) for part in version.split(".")[:2]) < FENCEABLE:
        return f"Redis {version} cannot change the address that it listens at while it runs"
    return ""


def exchange(
    host: Host, target: Target, found: Found, place: Place, incoming: str, kept: str, tell: Tell
) -> float:
    """What is in `incoming` in the place of what is there, which goes to the new folder `kept`.

    Raises ActFailed with the old data in its place and open to all. Otherwise the service
    runs behind the fence; `lift` opens it. Answers with the seconds that it took to start.
    """
    old, new = (there(host, place.names, each) for each in (place.folder, incoming))
    if not new:
        raise ActFailed(f"nothing was changed: {incoming} holds nothing that Redis would load")
    bind = "" if why_not_fenced(found) else _own_address(found)
    try:
        new_folder(host, kept)
        fence = Fence(bind, place.folder, incoming, kept, place.names, old, new)
        fencing.close(host, target.unit, fence)
        _secure(host, found, kept, place, target.stop_seconds, tell)
        stop(host, target.unit, seconds=target.stop_seconds, tell=tell)
    except (ActFailed, HostFault):
        _go_on(host, found)
        fencing.remove(host, target.unit)
        # Only when it is empty: what is in it has no other name.
        host.run(("rmdir", "--", kept), seconds=10)
        raise
    try:
        tell(f"keeping what is there in {kept}")
        _moved(host, place, incoming, kept)
    except ActFailed:
        fencing.remove(host, target.unit)
        systemd.order(host, "start", target.unit, seconds=target.start_seconds)
        raise
    begun = host.now()
    start(host, target, tell)
    return host.now() - begun


def _own_address(found: Found) -> str:
    return found.fence.bind if found.fence else found.setting("bind")


def take_back(host: Host, target: Target, found: Found, tell: Tell) -> Found:
    """An exchange that was begun and left, undone: what was there is in its place again.

    Where something had been moved, the service does not run afterwards, and stays fenced.
    """
    fence = found.fence
    if fence is None:
        return found
    if not _was_moved(host, fence):
        _emptied(host, fence)
        return found
    tell(f"an earlier exchange was left half-way: putting back what is in {fence.kept}")
    if found.info is not None:
        ask(host, found.where, ("CONFIG", "SET", "save", ""))
    stop(host, target.unit, seconds=target.stop_seconds, tell=tell)
    _cleared(host, fence)
    _emptied(host, fence)
    if fence.incoming.startswith(f"{fence.folder}/{INCOMING}"):
        # A copy of a backup.
        host.run(("rm", "-r", "-f", "--", fence.incoming), seconds=COPY_SECONDS)
    return discover(host, target.where)


def _emptied(host: Host, fence: Fence) -> None:
    """All that was kept back in its place; without it there is no folder that looks kept."""
    move(host, within(host, fence.kept), fence.kept, fence.folder)
    host.run(("rmdir", "--", fence.kept), seconds=10)


def _cleared(host: Host, fence: Fence) -> None:
    """What is not the old goes where it came from; or aside, if a server has made it itself: one
    that was started on half of the data, and that nobody could reach."""
    aside = f"{fence.folder}/{AFTERWARDS}{stamp(host)}-half"
    host.run(("mkdir", "-p", "-m", "700", "--", fence.incoming, aside), seconds=10)
    kept, waiting = within(host, fence.kept), within(host, fence.incoming)
    for name in fence.names:
        if name not in fence.old or name in kept:
            placed = name in fence.new and name not in waiting
            move(host, (name,), fence.folder, fence.incoming if placed else aside)
    host.run(("rmdir", "--", aside), seconds=10)


def _was_moved(host: Host, fence: Fence) -> bool:
    kept = [name for name in within(host, fence.kept) if not name.endswith(SAVED_BEFORE)]
    return bool(kept) or len(there(host, fence.new, fence.incoming)) < len(fence.new)


def lift(host: Host, target: Target, found: Found) -> None:
    """Everybody is let in, and its next start is as ever. May be done again and again."""
    if found.fence is None:
        return
    if found.fenced and found.info is not None:
        (said,) = ask(host, found.where, ("CONFIG", "SET", "bind", found.fence.bind))
        if isinstance(said, ErrorReply):
            raise ActFailed(f"nobody but us reaches it yet: {said.text}")
    fencing.remove(host, target.unit)


def _secure(host: Host, found: Found, kept: str, place: Place, seconds: float, tell: Tell) -> None:
    """Its end must not save over its own dump. What only its memory has is saved first."""
    if found.info is None:
        return
    where = found.where
    # Before 6.2 an error: then what is written from here on is lost with the old data.
    _, said = ask(
        host,
        where,
        ("CLIENT", "PAUSE", str(int(seconds * 1000)), "WRITE"),
        ("INFO", "persistence"),
    )
    unsaved = isinstance(said, bytes) and b"rdb_changes_since_last_save:0\r" not in said
    if not place.append_only and unsaved:
        tell("saving what only its memory has")
        if found.dump:
            ran(host, ("ln", "--", found.dump.path, f"{kept}/{place.dump}{SAVED_BEFORE}"))
        (said,) = ask(host, where, ("SAVE",), seconds=COPY_SECONDS)
        if said != "OK":
            text = said.text if isinstance(said, ErrorReply) else said
            raise ActFailed(
                f"nothing was changed: what only its memory has cannot be saved: {text}"
            )
    ask(host, where, ("CONFIG", "SET", "save", ""))


def _go_on(host: Host, found: Found) -> None:
    """It goes on as it was, because it was not stopped after all."""
    if found.now and "save" in found.now:
        with contextlib.suppress(HostFault):
            orders = (("CONFIG", "SET", "save", found.now["save"]), ("CLIENT", "UNPAUSE"))
            ask(host, found.where, *orders)


def stop(host: Host, unit: str, *, seconds: float, tell: Tell) -> None:
    tell(f"stopping {unit}")
    systemd.order(host, "stop", unit, seconds=seconds)
    now = systemd.show(host, unit)
    if now.main_pid or now.active not in ("inactive", "failed"):
        raise ActFailed(f"{unit} could not be stopped ({now.state}), so its data was left alone")


def start(host: Host, target: Target, tell: Tell) -> None:
    """Start it, and wait as long as it loads: then the first look finds it ready."""
    tell(f"starting {target.unit}")
    systemd.order(host, "start", target.unit, seconds=target.start_seconds)
    where, begun = target.where, host.now()
    fence = fencing.read(host, target.unit)
    if fence and fence.bind and _listens(host, target.port):
        where = replace(where, address=fencing.ADDRESS, name=target.address)
    while _loads(host, where) and (waited := host.now() - begun) < target.start_seconds:
        host.sleep(pause_after(waited))


def _listens(host: Host, port: int) -> bool:
    """Behind the fence, soon: most units count as started before their server has its port."""
    ends = host.now() + LISTEN_SECONDS
    while not (there := fencing.listens(host, port, seconds=1.0)) and host.now() < ends:
        host.sleep(0.02)
    return there


def _loads(host: Host, where: Where) -> bool:
    try:
        (said,) = ask(host, where, ("INFO", "persistence"), seconds=5.0)
    except HostFault:
        return False
    return isinstance(said, bytes) and b"\nloading:1" in said


def _moved(host: Host, place: Place, incoming: str, kept: str) -> None:
    """The old data out and the new in. When that fails half-way, everything is put back."""
    try:
        move(host, place.names, place.folder, kept)
        move(host, place.names, incoming, place.folder)
    except HostFault as fault:
        with contextlib.suppress(HostFault):
            move(host, place.names, place.folder, incoming)
        move(host, place.names, kept, place.folder)
        raise ActFailed(f"the old data was put back: {fault}") from fault
    move(host, (f"{place.dump}{SAVED_BEFORE}",), incoming, kept)
    host.run(("rmdir", "--", incoming), seconds=10)
    # Where nothing was, nothing is kept.
    host.run(("rmdir", "--", kept), seconds=10)
