"""Putting a proved dump in the place of a Redis's data, and the old data back. No deciding.

What lives here: the moves on a machine, in the order in which a crash after any of them loses
nothing: the new data is complete beside the old before the service is stopped; the old data is
renamed, both its dump and its append-only directory, never overwritten; then the new is renamed
into place, so that it is loaded whether append-only is on or off. What must not: whether it may
be done (operations/redis_restore.py).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tasks import systemd
from tasks.backup.asking import Where, ask
from tasks.backup.discovery import FileFacts, Found
from tasks.backup.proving import DUMP
from tasks.backup.scratch import COPY_SECONDS, ran, size_and_sha256
from tasks.host import Host, HostFault
from tasks.operation import ActFailed, Tell
from tasks.resp import ErrorReply

KEPT, AFTERWARDS, INCOMING = "pre-restore-", "restored-", ".restore-"
#: The dump as it was before the last save: a last save of an emptied server is empty.
SAVED_BEFORE = ".saved-before"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a Redis keeps its data, and what belongs to it there."""

    folder: str
    dump: str
    log_folder: str
    log: str
    append_only: bool
    user: int
    group: int
    file_mode: str
    folder_mode: str

    @property
    def names(self) -> tuple[str, ...]:
        """All that it may load: the last is how a Redis before 7 wrote its log."""
        return (self.dump, self.log_folder, self.log)


def place_of(found: Found, folder: FileFacts) -> Place:
    """Owner and mode as they were; where there was nothing, as the folder says."""
    of_file = found.dump or found.log_folder or folder
    of_folder = found.log_folder or folder
    return Place(
        folder.path,
        found.setting("dbfilename"),
        found.setting("appenddirname"),
        found.setting("appendfilename"),
        found.append_only,
        of_file.user,
        of_file.group,
        found.dump.mode if found.dump else "600",
        of_folder.mode,
    )


def kept_folders(host: Host, folder: str) -> tuple[str, ...]:
    """What earlier restores kept, oldest first."""
    argv = ("find", folder, "-maxdepth", "1", "-name", f"{KEPT}*", "-printf", "%f\\n")
    return tuple(sorted(ran(host, argv).out.split()))


def stamp(host: Host) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(host.now()))


def new_folder(host: Host, path: str) -> None:
    ran(host, ("mkdir", "-m", "700", "--", path))


def make_ready(host: Host, place: Place, backup: str, sha256: str, tell: Tell) -> str:
    """The new data, complete and on the disk, beside the old. Answers with its folder."""
    incoming = f"{place.folder}/{INCOMING}{stamp(host)}"
    # What a killed restore left: copies of a backup, and nothing else.
    left = ("find", place.folder, "-maxdepth", "1", "-name", f"{INCOMING}*", "-printf", "%p\\n")
    if leftovers := ran(host, left).out.split():
        ran(host, ("rm", "-r", "-f", "--", *leftovers), seconds=COPY_SECONDS)
    tell("copying the backup beside the data")
    new_folder(host, incoming)
    try:
        dump = f"{incoming}/{place.dump}"
        ran(host, ("cp", "--", f"{backup}/{DUMP}", dump), seconds=COPY_SECONDS)
        if size_and_sha256(host, dump)[1] != sha256:
            raise ActFailed(f"the copy of {backup}/{DUMP} is not what was proved: nothing changed")
        made = [dump]
        if place.append_only:
            log = f"{incoming}/{place.log_folder}"
            base = f"{place.log}.1.base.rdb"
            ran(host, ("mkdir", "--", log))
            # One file under two names: Redis replaces its files and never writes into them.
            ran(host, ("ln", "--", dump, f"{log}/{base}"))
            listed = f"file {base} seq 1 type b\n"
            host.write(f"{log}/{place.log}.manifest", listed.encode(), mode=0o600)
            ran(host, ("chmod", place.folder_mode, "--", log))
            ran(host, ("chmod", place.file_mode, "--", f"{log}/{place.log}.manifest"))
            made += [log, f"{log}/{place.log}.manifest"]
        ran(host, ("chmod", place.file_mode, "--", dump))
        ran(host, ("chown", f"{place.user}:{place.group}", "--", *made))
        ran(host, ("sync", "--", *made), seconds=COPY_SECONDS)
        # Where SELinux is on, the place decides the label; elsewhere there is no such command.
        host.run(("restorecon", "-R", "--", incoming), seconds=COPY_SECONDS)
    except (HostFault, ActFailed):
        host.run(("rm", "-r", "-f", "--", incoming), seconds=COPY_SECONDS)
        raise
    return incoming


def fence(host: Host, where: Where, found: Found, kept: str, place: Place, tell: Tell) -> None:
    """Its end must not save over its own dump. What only its memory has is saved first."""
    if found.info is None:
        return
    unsaved = int(found.info.get("rdb_changes_since_last_save", 0))
    if not place.append_only and unsaved:
        tell(f"saving {unsaved} changes that only its memory has")
        if found.dump:
            ran(host, ("ln", "--", found.dump.path, f"{kept}/{place.dump}{SAVED_BEFORE}"))
        (said,) = ask(host, where, ("SAVE",), seconds=COPY_SECONDS)
        if said != "OK":
            text = said.text if isinstance(said, ErrorReply) else said
            raise ActFailed(
                f"nothing was changed: what only its memory has cannot be saved: {text}"
            )
    ask(host, where, ("CONFIG", "SET", "save", ""))


def unfence(host: Host, where: Where, found: Found) -> None:
    """It goes on as it was, because it was not stopped after all."""
    if found.now and "save" in found.now:
        with contextlib.suppress(HostFault):
            ask(host, where, ("CONFIG", "SET", "save", found.now["save"]))


def stop(host: Host, unit: str, *, seconds: float, tell: Tell) -> None:
    tell(f"stopping {unit}")
    systemd.order(host, "stop", unit, seconds=seconds)
    now = systemd.show(host, unit)
    if now.main_pid or now.active not in ("inactive", "failed"):
        raise ActFailed(f"{unit} could not be stopped ({now.state}), so its data was left alone")


def start(host: Host, unit: str, *, seconds: float, endless: bool, tell: Tell) -> None:
    """Start it; with `endless`, systemd does not kill it for loading longer than usual."""
    tell(f"starting {unit}")
    drop_in = f"/run/systemd/system/{unit.removesuffix('.service')}.service.d"
    if endless:
        ran(host, ("mkdir", "-p", "--", drop_in))
        text = b"[Service]\nTimeoutStartSec=infinity\n"
        host.write(f"{drop_in}/90-autobot-dr-restore.conf", text)
        ran(host, ("systemctl", "daemon-reload"))
    systemd.order(host, "start", unit, seconds=seconds)
    if endless and systemd.show(host, unit).active == "active":
        ran(host, ("rm", "-f", "--", f"{drop_in}/90-autobot-dr-restore.conf"))
        ran(host, ("systemctl", "daemon-reload"))


def move(host: Host, names: Sequence[str], source: str, target: str) -> list[str]:
    """Rename what is there of these; never over something. Answers with what was moved."""
    moved: list[str] = []
    for name in names:
        if host.run(("test", "-e", f"{source}/{name}"), seconds=10).exit_code != 0:
            continue
        # Without -T it would be moved into a folder of that name; -n says nothing when it refuses.
        ran(host, ("mv", "-n", "-T", "--", f"{source}/{name}", f"{target}/{name}"))
        if host.run(("test", "-e", f"{source}/{name}"), seconds=10).ok:
            raise HostFault(f"{target}/{name} is there already, and was not overwritten")
        moved.append(name)
    ran(host, ("sync", "--", source, target))
    return moved


def exchange(host: Host, place: Place, incoming: str, kept: str, tell: Tell) -> None:
    """The old data out and the new in. When that fails half-way, everything is put back."""
    tell(f"keeping what is there in {kept}")
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


def give_up(host: Host, incoming: str, kept: str) -> None:
    """Take away what was made ready, when nothing was moved yet."""
    if incoming:
        host.run(("rm", "-r", "-f", "--", incoming), seconds=COPY_SECONDS)
    # Only when it is empty: what is in it has no other name.
    host.run(("rmdir", "--", kept), seconds=10)
