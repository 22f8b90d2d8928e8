"""How a Redis stands before and after an exchange of its data: a look, and its judgement.

What lives here: what a restore and its undoing look at, and what both must find. What must not:
the exchange itself (exchanging.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tasks import systemd
from tasks.backup import places
from tasks.backup.discovery import FileFacts, Found, discover, file_facts
from tasks.backup.exchanging import Target
from tasks.backup.indexes import Indexing
from tasks.host import Host
from tasks.operation import Unmet


@dataclass(frozen=True, slots=True)
class Standing:
    """Plain values: it goes to the journal."""

    active: str
    invocation: str
    main_pid: int
    complaint: str  #: why the unit does not count as up, or nothing
    final: bool  #: and waiting cannot help
    folder: str = ""
    kept: tuple[str, ...] = ()  #: folders of earlier restores that hold something
    closed: bool = False  #: an exchange is not verified yet: behind the fence, where there is one
    ready: bool = False  #: it answers and has loaded
    loaded: int = 0  #: keys that it loaded at its start
    keys: int = 0  #: that it has now
    evicted: int = 0
    indexing: str = ""  #: what a search index still reads, or nothing


def discovered(host: Host, target: Target) -> Found:
    """One look, at the folder that was named where one was."""
    found = discover(host, target.where)
    if not target.data:
        return found
    named = {
        "folder": target.data,
        "dump": f"{target.data}/{found.setting('dbfilename')}",
        "log_folder": f"{target.data}/{found.setting('appenddirname')}",
    }
    facts: dict[str, FileFacts | None] = {n: file_facts(host, path) for n, path in named.items()}
    return replace(
        found, folder=facts["folder"], dump=facts["dump"], log_folder=facts["log_folder"]
    )


def of_unit(name: str, unit: systemd.Unit) -> Standing:
    # With a check that is content: what the server says is looked at here.
    down = systemd.not_up(name, replace(unit, check=""))
    return Standing(
        unit.active,
        unit.invocation,
        unit.main_pid,
        down.reason if down else "",
        bool(down and down.final),
    )


def look(host: Host, target: Target) -> Standing:
    unit = of_unit(target.unit, systemd.show(host, target.unit))
    return with_data(host, unit, target, discovered(host, target))


def with_data(host: Host, unit: Standing, target: Target, found: Found) -> Standing:
    folder = found.folder.path if found.folder else target.data
    info = found.info or {}
    ready = info.get("loading") == "0"
    parts = ("rdb_last_load_keys_loaded", "rdb_last_load_keys_expired")
    return replace(
        unit,
        folder=folder,
        kept=places.kept_folders(host, folder) if folder else (),
        closed=found.fence is not None,
        ready=ready,
        loaded=sum(int(info.get(name, 0)) for name in parts),
        keys=sum(found.keys.values()),
        evicted=int(info.get("evicted_keys", 0)),
        indexing=Indexing(host, found.where).told() if ready and found.modules else "",
    )


def not_new(before: Standing, now: Standing) -> Unmet | None:
    """Why what runs is not, or not yet, the server with the other data."""
    if now.active == "active" and now.invocation == before.invocation:
        return Unmet(f"still the old server runs, pid {now.main_pid}")
    if now.complaint:
        return Unmet(now.complaint, final=now.final)
    if not now.ready:
        return Unmet("it is up and has not loaded its data yet, or does not say so")
    return None


def still_closed(said: str) -> str:
    return f"{said}; nobody but us reaches it until that is mended or undone (redis.restore_undo)"
