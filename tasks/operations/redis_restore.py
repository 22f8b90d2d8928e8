"""redis.restore: a proved backup in the place of a Redis's data, and loaded.

The backup is loaded in a scratch server on this machine and compared with its manifest before
anything is touched; what was there is renamed and kept (redis.restore_undo puts it back). Done
means that the new server says it loaded exactly the keys that the backup holds, whatever
clients have written since.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tasks import systemd
from tasks.backup import allowing, manifest, proving, restoring
from tasks.backup.asking import Where
from tasks.backup.discovery import FileFacts, Found, discover, file_facts, programs
from tasks.backup.manifest import Manifest, NotAManifest
from tasks.backup.scratch import NotLoaded
from tasks.host import Host, HostFault
from tasks.operation import Act, ActFailed, Met, Operation, Refuse, Tell, Unmet

_NO_BACKUP = (
    "nothing was changed: no backup was named. A restore needs one that was proved by loading it "
    "in a scratch server: give its folder on this machine in backup"
)


@dataclass(frozen=True, slots=True)
class Arguments:
    unit: str
    address: str
    port: int = 6379
    password_file: str = ""
    backup: str = ""  #: a folder on this machine, with dump.rdb and manifest.json
    id: str = ""  #: the backup that is meant, so that another one in its place is refused
    data: str = ""  #: the folder with its data, when it is not the one that Redis says
    replicas: str = "refuse"  #: or `follow`, when its replicas may take over what is restored
    prove_here: bool = True  #: false trusts the proof in the manifest, and the hash
    stop_seconds: float = 300.0
    start_seconds: float = 900.0

    @property
    def where(self) -> Where:
        return Where(self.unit, self.address, self.port, self.password_file)


@dataclass(frozen=True, slots=True)
class Seen:
    """What matters of one look. Plain values: it goes to the journal."""

    active: str
    sub: str
    invocation: str
    main_pid: int
    complaint: str  #: why the unit does not count as up, or nothing
    final: bool  #: and waiting cannot help
    refusal: str = ""
    folder: str = ""
    kept: tuple[str, ...] = ()
    expected: int = -1  #: keys in the backup
    loaded: int | None = None  #: keys that the running server loaded at its start
    keys: int = 0  #: that it has now
    evicted: int = 0


def look_before(host: Host, wanted: Arguments) -> Seen:
    """Everything that could speak against it, the scratch load included."""
    unit = systemd.show(host, wanted.unit)
    seen = _seen(wanted.unit, unit)
    if reason := systemd.cannot_run(wanted.unit, unit):
        return replace(seen, refusal=reason)
    if not wanted.backup:
        return replace(seen, refusal=_NO_BACKUP)
    try:
        known = proving.read_manifest(host, wanted.backup)
    except NotAManifest as fault:
        return replace(seen, refusal=f"nothing was changed: {fault}")
    found = _discovered(host, wanted)
    free = _free_memory(host) if wanted.prove_here else None
    reasons = tuple(
        allowing.why_not(
            known,
            found,
            wanted_id=wanted.id,
            detach=wanted.replicas == "follow",
            scratch_memory=free,
        )
    )
    if not reasons and wanted.prove_here:
        reasons = _proof(host, wanted, known, found)
    if reasons:
        return replace(seen, refusal=f"nothing was changed: {manifest.told(reasons)}")
    return _with_data(host, wanted, seen, found, known)


def look(host: Host, wanted: Arguments) -> Seen:
    seen = _seen(wanted.unit, systemd.show(host, wanted.unit))
    known = _manifest(host, wanted)
    return _with_data(host, wanted, seen, _discovered(host, wanted), known)


def _manifest(host: Host, wanted: Arguments) -> Manifest:
    try:
        return proving.read_manifest(host, wanted.backup)
    except NotAManifest as fault:
        raise HostFault(str(fault)) from fault


def _seen(name: str, unit: systemd.Unit) -> Seen:
    # With a check that is content: what the server says is looked at here.
    down = systemd.not_up(name, replace(unit, check=""))
    return Seen(
        unit.active,
        unit.sub,
        unit.invocation,
        unit.main_pid,
        down.reason if down else "",
        bool(down and down.final),
    )


def _discovered(host: Host, wanted: Arguments) -> Found:
    found = discover(host, wanted.where)
    if not wanted.data:
        return found
    named = {
        "folder": wanted.data,
        "dump": f"{wanted.data}/{found.setting('dbfilename')}",
        "log_folder": f"{wanted.data}/{found.setting('appenddirname')}",
    }
    facts: dict[str, FileFacts | None] = {n: file_facts(host, path) for n, path in named.items()}
    return replace(
        found, folder=facts["folder"], dump=facts["dump"], log_folder=facts["log_folder"]
    )


def _free_memory(host: Host) -> int:
    for line in (host.read("/proc/meminfo") or "").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise HostFault("/proc/meminfo does not say how much memory is free")


def _proof(host: Host, wanted: Arguments, known: Manifest, found: Found) -> tuple[str, ...]:
    used = programs(host, found)
    if not used.modules:
        used = replace(used, modules=known.module_files)
    try:
        return manifest.compare(known, proving.load(host, wanted.backup, known, used))
    except NotLoaded as fault:
        return (f"the backup could not be proved here: {fault}",)


def _with_data(host: Host, wanted: Arguments, seen: Seen, found: Found, known: Manifest) -> Seen:
    folder = found.folder.path if found.folder else wanted.data
    info = found.info or {}
    loaded = None
    if info.get("loading") == "0":
        parts = ("rdb_last_load_keys_loaded", "rdb_last_load_keys_expired")
        loaded = sum(int(info.get(name, 0)) for name in parts)
    return replace(
        seen,
        folder=folder,
        kept=restoring.kept_folders(host, folder) if folder else (),
        expected=known.contents.total if known.contents else -1,
        loaded=loaded,
        keys=sum(found.keys.values()),
        evicted=int(info.get("evicted_keys", 0)),
    )


def decide(_wanted: Arguments, seen: Seen) -> Act | Refuse:
    return Refuse(seen.refusal) if seen.refusal else Act()


def act(host: Host, wanted: Arguments, tell: Tell) -> None:
    known = _manifest(host, wanted)
    found = _discovered(host, wanted)
    if found.folder is None:
        raise ActFailed("nothing was changed: its data folder is not there any more")
    place = restoring.place_of(found, found.folder)
    incoming = restoring.make_ready(host, place, wanted.backup, known.sha256, tell)
    kept = f"{place.folder}/{restoring.KEPT}{restoring.stamp(host)}"
    try:
        restoring.new_folder(host, kept)
        restoring.fence(host, wanted.where, found, kept, place, tell)
        restoring.stop(host, wanted.unit, seconds=wanted.stop_seconds, tell=tell)
    except (ActFailed, HostFault):
        restoring.unfence(host, wanted.where, found)
        restoring.give_up(host, incoming, kept)
        raise
    try:
        restoring.exchange(host, place, incoming, kept, tell)
    finally:
        # Also with the old data, when the exchange failed and was taken back.
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
    new = [name for name in now.kept if name not in before.kept]
    if now.complaint:
        return Unmet(_kept(now.complaint, now, new), final=now.final)
    if now.loaded is None:
        return Unmet("it is up and has not loaded its data yet, or does not say so")
    if now.loaded != now.expected:
        reason = f"it loaded {now.loaded} keys, and the backup holds {now.expected}"
        return Unmet(_kept(reason, now, new), final=True)
    evicted = f"; {now.evicted} keys were evicted since: raise maxmemory" if now.evicted else ""
    said = f"all {now.expected} keys of the backup were loaded, {now.keys} are there now{evicted}"
    return Met(_kept(said, now, new))


def _kept(said: str, now: Seen, new: list[str]) -> str:
    if not new:
        return said
    where = ", ".join(f"{now.folder}/{name}" for name in new)
    return f"{said}; what was there is kept in {where}, redis.restore_undo puts it back"


def in_plan(wanted: Arguments) -> tuple[str, ...]:
    if not wanted.backup:
        return ("refused: no backup is named",)
    return (
        f"sha256sum {wanted.backup}/dump.rdb, compared with its manifest",
        "redis-server on a socket of its own loads it; counts and samples are compared",
        "cp it beside the data, with the old owner and mode",
        'CONFIG SET save ""',
        f"systemctl stop {wanted.unit}",
        f"mv the dump and the append-only directory to {restoring.KEPT}TIME/",
        "mv the new ones into place",
        f"systemctl start {wanted.unit}, and count what it loaded",
    )


restore = Operation(
    "redis.restore",
    "Restore Redis from a proved backup; what was there is kept",
    Arguments,
    Seen,
    look,
    decide,
    act,
    judge,
    seconds=1800,
    look_before=look_before,
    in_plan=in_plan,
)
