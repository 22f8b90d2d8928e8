"""What will bite this Redis's backups or restores, from what was found about it. Pure.

What lives here: the judgement, each with what follows from it and what to do. What must not:
asking anything. `refuse` findings are those with which a restore must not begin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from tasks.backup import redisconf
from tasks.backup.discovery import Found

#: A unit's start may take as long as this many bytes take to load, in seconds.
LOAD_BYTES_PER_SECOND = 100e6


class Severity(StrEnum):
    REFUSE = "refuse"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that will bite: a name for it, what it is and does, and the remedy."""

    name: str
    severity: Severity
    what: str
    remedy: str


def doctor(found: Found) -> tuple[Finding, ...]:
    """Everything at once, the gravest first."""
    findings = [finding for rule in _RULES for finding in rule(found)]
    order = list(Severity)
    return tuple(sorted(findings, key=lambda each: order.index(each.severity)))


def _cluster(found: Found) -> Iterator[Finding]:
    enabled = (found.info or {}).get("cluster_enabled") == "1"
    if enabled or (found.at_start or {}).get("cluster-enabled") == "yes":
        yield Finding(
            "cluster",
            Severity.REFUSE,
            "it is a node of a cluster, whose keys are spread over several servers",
            "restore a cluster by its own procedure; this tool does not",
        )


def _replica(found: Found) -> Iterator[Finding]:
    if (found.info or {}).get("role") == "slave":
        yield Finding(
            "replica",
            Severity.REFUSE,
            "it is a replica: what is restored here is replaced by its primary's data",
            "restore the primary, or make this one a primary first (REPLICAOF NO ONE)",
        )


def _unread(found: Found) -> Iterator[Finding]:
    for reason in found.unread:
        yield Finding("not_read", Severity.WARNING, reason, "mend that, and look again")


def _unfinished(found: Found) -> Iterator[Finding]:
    if found.fence:
        yield Finding(
            "unfinished",
            Severity.WARNING,
            "a restore was begun and is not verified"
            + (": nobody but us reaches it" if found.fenced else ""),
            "`autobot-dr backup undo` goes back to what was there; a new restore ends it too",
        )


def _append_only(found: Found) -> Iterator[Finding]:
    if found.append_only:
        yield Finding(
            "append_only",
            Severity.NOTE,
            f"append-only is on: at its start it loads {found.setting('appenddirname')} and never "
            f"opens {found.setting('dbfilename')}; a dump put there is ignored, then overwritten",
            "restore with redis.restore, which puts the data where it is loaded",
        )
    running, start = (found.now or {}).get("appendonly"), (found.at_start or {}).get("appendonly")
    if running == "yes" and found.at_start is not None and start != "yes":
        yield Finding(
            "append_only_not_kept",
            Severity.WARNING,
            "append-only was turned on in the running server only: the next start loads the "
            "dump and loses all that came after it",
            "CONFIG REWRITE, or set appendonly yes in the configuration file",
        )


def _stale_log(found: Found) -> Iterator[Finding]:
    running = (found.now or {}).get("appendonly")
    if running == "no" and not found.append_only and found.log_folder:
        yield Finding(
            "stale_log",
            Severity.WARNING,
            f"append-only is off and {found.log_folder.path} is there: once it is turned on in the "
            "configuration file, the next start loads that old data instead of the dump",
            "turn it on by CONFIG SET appendonly yes in the running server, or move that folder "
            "away",
        )


def _persistence(found: Found) -> Iterator[Finding]:
    if not found.append_only and not found.setting("save").strip('"'):
        yield Finding(
            "not_persistent",
            Severity.WARNING,
            "it saves nothing: no save points, and append-only is off; a restart empties it",
            "set save points or appendonly yes, or accept that only the backups keep its data",
        )


def _memory(found: Found) -> Iterator[Finding]:
    maximum = redisconf.size(found.setting("maxmemory"))
    if found.memory_limit and (not maximum or maximum > 0.6 * found.memory_limit):
        of = f"maxmemory is {maximum}" if maximum else "there is no maxmemory"
        yield Finding(
            "memory_limit",
            Severity.WARNING,
            f"systemd kills it at {found.memory_limit} bytes and {of}: the copied pages of a "
            "saving child count too, so a save under load can end the service",
            "let MemoryMax be at least twice maxmemory, or take it away",
        )
    used = int((found.info or {}).get("used_memory", 0))
    policy = found.setting("maxmemory-policy")
    if maximum and policy.startswith("allkeys"):
        evicted = (found.info or {}).get("evicted_keys", "?")
        yield Finding(
            "evicts_anything",
            Severity.WARNING,
            f"with {policy} any key may be evicted when {maximum} bytes are full, the knowledge "
            f"base too ({evicted} keys so far, {used} bytes used); what is evicted is in no backup",
            "use a volatile policy, or a server of its own for what must not be lost",
        )


def _saving(found: Found) -> Iterator[Finding]:
    info = found.info or {}
    if info.get("rdb_last_bgsave_status") == "err":
        yield Finding(
            "cannot_save",
            Severity.WARNING,
            "its last save failed; with stop-writes-on-bgsave-error it refuses writes",
            f"make room and rights in {found.folder.path if found.folder else 'its folder'}, "
            "then BGSAVE",
        )
    last = found.dump.bytes if found.dump else int(info.get("used_memory", 0))
    stops = found.setting("stop-writes-on-bgsave-error") == "yes"
    if found.free_bytes is not None and found.free_bytes < 2 * last and stops:
        yield Finding(
            "misconf_risk",
            Severity.WARNING,
            f"{found.free_bytes} bytes are free and a save needs about {last}: when one fails, "
            "Redis stops accepting writes (MISCONF)",
            "make room for twice the dump on the disk with its folder",
        )


def _checksum(found: Found) -> Iterator[Finding]:
    if found.setting("rdbchecksum") == "no":
        yield Finding(
            "no_checksum",
            Severity.WARNING,
            "its dumps have no checksum: a flipped bit loads silently",
            "set rdbchecksum yes and restart; until then only our SHA-256 tells",
        )


def _disk_sync(found: Found) -> Iterator[Finding]:
    if found.setting("repl-diskless-sync") == "no":
        yield Finding(
            "disk_sync",
            Severity.WARNING,
            "for a backup it would first save on its own disk, and refuse writes if that fails; "
            "dumps and capture refuse",
            "CONFIG SET repl-diskless-sync yes, and CONFIG REWRITE",
        )
    backlog = redisconf.size(found.setting("repl-backlog-size"))
    if backlog < 64 * 1024**2:
        yield Finding(
            "small_backlog",
            Severity.NOTE,
            f"its backlog keeps {backlog} bytes: a capture that was away for longer costs a fork",
            "CONFIG SET repl-backlog-size 64mb, and CONFIG REWRITE",
        )


def _unit(found: Found) -> Iterator[Finding]:
    size = max(found.dump.bytes if found.dump else 0, int((found.info or {}).get("used_memory", 0)))
    loads = size / LOAD_BYTES_PER_SECOND
    notify = found.unit_type == "notify"
    if notify and found.start_timeout is not None and found.start_timeout < 3 * loads + 10:
        yield Finding(
            "start_timeout",
            Severity.WARNING,
            f"systemd gives it {found.start_timeout:.0f} s to start, and loading {size} bytes may "
            f"take {loads:.0f} s and more: it would be killed while it loads, again and again",
            f"set TimeoutStartSec=infinity for {found.where.unit}",
        )
    supervised = (found.at_start or {}).get("supervised", "no")
    if notify and found.at_start is not None and supervised not in ("systemd", "auto"):
        yield Finding(
            "never_ready",
            Severity.WARNING,
            "its unit waits for a sign of readiness that it never gives (supervised is "
            f"{supervised}): each start times out",
            "set supervised systemd in its configuration",
        )
    if found.stop_timeout is not None and found.stop_timeout < loads:
        yield Finding(
            "stop_timeout",
            Severity.WARNING,
            f"systemd kills it {found.stop_timeout:.0f} s after asking it to stop, in the middle "
            "of its last save",
            f"raise TimeoutStopSec for {found.where.unit}",
        )


def _restart(found: Found) -> Iterator[Finding]:
    if found.restart in ("", "no"):
        yield Finding(
            "no_restart",
            Severity.NOTE,
            "systemd does not start it again when it dies",
            f"set Restart=on-failure for {found.where.unit}",
        )
    elif found.restart == "always":
        yield Finding(
            "restart_always",
            Severity.NOTE,
            "systemd starts it again whatever happens: with damaged data that is a loop",
            "never delete the data to end such a loop; stop the unit first",
        )


_RULES: tuple[Callable[[Found], Iterator[Finding]], ...] = (
    _cluster,
    _replica,
    _unread,
    _unfinished,
    _append_only,
    _stale_log,
    _persistence,
    _memory,
    _saving,
    _checksum,
    _disk_sync,
    _unit,
    _restart,
)
