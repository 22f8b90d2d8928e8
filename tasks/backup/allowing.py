"""Whether a backup may take the place of a Redis's data. Pure.

What lives here: every reason against it, told before anything is touched. What must not: asking
or changing anything.
"""

from __future__ import annotations

from collections.abc import Iterator

from tasks.backup import exchanging, redisconf
from tasks.backup.discovery import Found
from tasks.backup.doctor import Severity, doctor
from tasks.backup.manifest import Manifest, State

#: Beside the data itself, on the disk.
ROOM_BYTES = 64 * 1024**2
#: Above the data itself, for a server that has it in memory.
MARGIN = 1.1
FIRST_MULTI_PART = 7


def why_not(
    manifest: Manifest,
    found: Found,
    *,
    wanted_id: str,
    replicas: str,
    scratch_memory: int | None,
    bytes_there: int,
) -> Iterator[str]:
    """Each reason with what to do. `scratch_memory` is what is free for proving it here."""
    if wanted_id and manifest.id != wanted_id:
        yield f"the backup there is {manifest.id}, and {wanted_id} was ordered"
    if manifest.state is State.FAILED:
        yield f"the backup {manifest.id} failed its proof ({manifest.reason}): use an older one"
    elif manifest.state is not State.VERIFIED or manifest.contents is None:
        yield (
            f"the backup {manifest.id} is {manifest.state.value}, and nobody has loaded it yet: "
            "prove it first"
        )
    elif bytes_there != manifest.size_bytes:
        there = f"has {bytes_there} bytes" if bytes_there >= 0 else "is not there"
        yield (
            f"the dump of {manifest.id} {there}, its manifest says {manifest.size_bytes}: use "
            "another backup"
        )
    yield from why_not_here(found, manifest.size_bytes, replicas)
    yield from _memory(manifest, found, scratch_memory)


def why_not_here(found: Found, size_bytes: int, replicas: str) -> Iterator[str]:
    """What speaks against any restore to this server of a dump so large."""
    if found.locked_out:
        yield f"{'; '.join(found.unread)}: mend that first, or nothing would show what it loaded"
    for finding in doctor(found):
        if finding.severity is Severity.REFUSE:
            yield f"{finding.what}: {finding.remedy}"
    yield from _place(size_bytes, found)
    yield from _replicas(found, replicas)


def _replicas(found: Found, wanted: str) -> Iterator[str]:
    count, unfenced = real_replicas(found), exchanging.why_not_fenced(found)
    if count and wanted == "refuse":
        yield f"{count} replicas follow it, and it was ordered with replicas: refuse"
    elif count and unfenced and wanted != "follow":
        yield (
            f"{count} replicas follow it and cannot be kept away until it is verified, because "
            f"{unfenced}: keep one by REPLICAOF NO ONE there, then order it with replicas: follow"
        )


def _place(size_bytes: int, found: Found) -> Iterator[str]:
    if found.folder is None:
        yield (
            f"its data folder {found.setting('dir')} is not there: make it, owned by the user "
            "that Redis runs as, or name it in data"
        )
    elif found.free_bytes is not None and found.free_bytes < size_bytes + ROOM_BYTES:
        yield (
            f"{found.free_bytes} bytes are free in {found.folder.path}, and the dump has "
            f"{size_bytes}: make room, without touching what Redis has there"
        )
    if found.info is None and found.at_start is None:
        yield (
            "Redis does not answer and its unit does not say how it is started, so where it "
            f"loads from is not known ({'; '.join(found.unread)}): restore by hand"
        )
    version = (found.info or {}).get("redis_version", "")
    if version and int(version.partition(".")[0]) < FIRST_MULTI_PART and found.append_only:
        yield (
            f"Redis {version} keeps its append-only log in one file, which is not handled: by "
            f"hand, stop it, rename {found.setting('appendfilename')} and put the dump there "
            "under that name"
        )


def _memory(manifest: Manifest, found: Found, scratch_memory: int | None) -> Iterator[str]:
    need = int(manifest.memory_bytes * MARGIN)
    maximum = redisconf.size(found.setting("maxmemory"))
    if maximum and maximum < manifest.memory_bytes:
        yield (
            f"its maxmemory is {maximum} and the data needs {manifest.memory_bytes}: keys would be "
            "evicted as soon as they are loaded, so raise maxmemory first"
        )
    if scratch_memory is not None and scratch_memory < need:
        yield (
            f"{scratch_memory} bytes of memory are free, and proving it here needs {need}: free "
            "some, or order it with prove_here: false, which trusts the earlier proof"
        )


def real_replicas(found: Found) -> int:
    """Those that could serve; our capture names no port of its own."""
    return sum(
        "port=0," not in value
        for name, value in (found.info or {}).items()
        if name[:5] == "slave" and name[5:].isdigit()
    )
