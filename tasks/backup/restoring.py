"""Making a proved dump ready beside a Redis's data, so that it is loaded from there. No deciding.

What lives here: the copy, its owner and mode, and the append-only directory around it. What must
not: putting it in the place of anything (exchanging.py), and whether it may be done
(operations/redis_restore.py).
"""

from __future__ import annotations

from tasks.backup.places import INCOMING, Place, new_folder, stamp
from tasks.backup.proving import DUMP
from tasks.backup.scratch import COPY_SECONDS, ran, size_and_sha256
from tasks.host import Host


def begin(host: Host, place: Place) -> str:
    """An empty folder beside the data. What a killed restore left goes: copies of a backup."""
    left = ("find", place.folder, "-maxdepth", "1", "-name", f"{INCOMING}*", "-printf", "%p\\n")
    for each in ran(host, left).out.splitlines():
        discard(host, each)
    incoming = f"{place.folder}/{INCOMING}{stamp(host)}"
    new_folder(host, incoming)
    return incoming


def copy(host: Host, place: Place, backup: str, incoming: str) -> tuple[int, str]:
    """The dump, on the disk. Answers with the size and hash of the copy."""
    dump = f"{incoming}/{place.dump}"
    ran(host, ("cp", "--", f"{backup}/{DUMP}", dump), seconds=COPY_SECONDS)
    found = size_and_sha256(host, dump)
    ran(host, ("sync", "--", dump), seconds=COPY_SECONDS)
    return found


def make_ready(host: Host, place: Place, incoming: str) -> None:
    """What else Redis needs beside the copy, with the owner and mode of what was there."""
    dump = f"{incoming}/{place.dump}"
    made = [dump]
    if place.append_only:
        log = f"{incoming}/{place.log_folder}"
        base, listing = f"{place.log}.1.base.rdb", f"{log}/{place.log}.manifest"
        ran(host, ("mkdir", "--", log))
        # One file under two names: Redis replaces its files and never writes into them.
        ran(host, ("ln", "--", dump, f"{log}/{base}"))
        host.write(listing, f"file {base} seq 1 type b\n".encode(), mode=0o600)
        ran(host, ("chmod", place.folder_mode, "--", log))
        ran(host, ("chmod", place.file_mode, "--", listing))
        made += [log, listing]
    ran(host, ("chmod", place.file_mode, "--", dump))
    ran(host, ("chown", f"{place.user}:{place.group}", "--", *made))
    ran(host, ("sync", "--", *made), seconds=COPY_SECONDS)
    # Where SELinux is on, the place decides the label; elsewhere there is no such command.
    host.run(("restorecon", "-R", "--", incoming), seconds=COPY_SECONDS)


def discard(host: Host, incoming: str) -> None:
    host.run(("rm", "-r", "-f", "--", incoming), seconds=COPY_SECONDS)
