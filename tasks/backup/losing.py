"""Whether a Redis shows that data was lost, so that a ladder may offer a restore.

What lives here: what counts as evidence. What must not: what else speaks against a restore
(allowing.py). Pure but for `said`. Who orders a restore by its name is not asked for any.
"""

from __future__ import annotations

import re

from tasks.backup.discovery import Found
from tasks.backup.manifest import Manifest
from tasks.host import Host

#: So Redis says that it cannot load what it has (rdb.c, aof.c of 6.2 to 8).
_UNREADABLE = re.compile(
    r".*(?:Bad file format|Wrong signature|Short read|RDB CRC|checksum mismatch|"
    r"Unexpected end of file|loading the DB|AOF file .* doesn't exist|can't open .* AOF).*",
    re.IGNORECASE,
)
#: A running Redis with less of the backup's keys than this has lost data; one that only expired
#: or evicted some has not.
SHARE = 0.5
LINES, LOG_BYTES = 50, 8192


def shown(manifest: Manifest, found: Found, said: str) -> str:
    """What shows that data was lost, or nothing. `said`: the end of what the server logged."""
    there, then = sum(found.keys.values()), manifest.contents.total if manifest.contents else 0
    if found.info is not None:
        if there < SHARE * then:
            return f"it has {there} keys, and the backup {then}"
        return ""
    if found.dump is None and found.log_folder is None:
        return "neither a dump nor an append-only directory is there"
    unreadable = [line.strip() for line in said.splitlines() if _UNREADABLE.match(line)]
    return f"it cannot load what it has: {unreadable[-1]}" if unreadable else ""


def why_not(manifest: Manifest, found: Found, said: str) -> str:
    """Why a restore is not offered, or nothing."""
    if found.locked_out or shown(manifest, found, said):
        return ""
    there, then = sum(found.keys.values()), manifest.contents.total if manifest.contents else 0
    state = f"it has {there} keys, and the backup {then}" if found.info else "it does not run"
    return (
        f"nothing shows that data was lost ({state}), so the ladder does not replace it; "
        f"`autobot-dr backup restore {manifest.id}` does, if it is to be done all the same"
    )


def said(host: Host, unit: str, found: Found) -> str:
    """The end of its log file and of its unit's journal."""
    file = found.setting("logfile")
    logged = (host.read(file, last=LOG_BYTES) or "") if file.startswith("/") else ""
    argv = ("journalctl", f"--unit={unit}", f"--lines={LINES}", "--output=cat", "--no-pager")
    return f"{logged}\n{host.run(argv, seconds=10).out}"
