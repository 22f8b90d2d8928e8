"""redis.restore: a proved backup in the place of a Redis's data, and loaded.

The backup is loaded in a scratch server on this machine and compared with its manifest before
anything is touched; what was there is renamed and kept (redis.restore_undo puts it back). The
new server is behind a fence until it says that it loaded exactly the keys that the backup
holds; only then clients and replicas reach it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from tasks import systemd
from tasks.backup import (
    allowing,
    exchanging,
    fencing,
    losing,
    manifest,
    places,
    proving,
    rates,
    restoring,
    standing,
)
from tasks.backup.discovery import Found, programs
from tasks.backup.exchanging import Target
from tasks.backup.manifest import Manifest, NotAManifest
from tasks.backup.places import Place
from tasks.backup.scratch import NotLoaded
from tasks.backup.standing import Standing
from tasks.host import Host, HostFault
from tasks.operation import Act, ActFailed, Met, Operation, Refuse, Ripe, Tell, Unmet

_NO_BACKUP = (
    "nothing was changed: no backup was named. A restore needs one that was proved by loading it "
    "in a scratch server: give its folder on this machine in backup"
)


@dataclass(frozen=True, slots=True)
class Arguments(Target):
    backup: str = ""  #: a folder on this machine, with dump.rdb and manifest.json
    id: str = ""  #: the backup that is meant, so that another one in its place is refused
    #: `hold` keeps its replicas away until it is verified, then they take it over; `refuse` does
    #: not begin while there are some; `follow` begins also where they cannot be kept away.
    replicas: str = "hold"
    prove_here: bool = True  #: false trusts the proof in the manifest, and the hash
    #: For a ladder: refuses where nothing shows that data was lost.
    only_on_loss: bool = False


@dataclass(frozen=True, slots=True)
class Seen(Standing):
    """What matters of one look."""

    refusal: str = ""
    expected: int = -1  #: keys in the backup


def look_before(host: Host, wanted: Arguments) -> Seen:
    """Everything that could speak against it, but for the scratch load."""
    unit = systemd.show(host, wanted.unit)
    seen = standing.of_unit(wanted.unit, unit)
    if reason := systemd.cannot_run(wanted.unit, unit):
        return _seen(seen, refusal=reason)
    if not wanted.backup:
        return _seen(seen, refusal=_NO_BACKUP)
    try:
        known = proving.read_manifest(host, wanted.backup)
    except NotAManifest as fault:
        return _seen(seen, refusal=f"nothing was changed: {fault}")
    found = standing.discovered(host, wanted)
    reasons = tuple(
        allowing.why_not(
            known,
            found,
            wanted_id=wanted.id,
            replicas=wanted.replicas,
            scratch_memory=_free_memory(host) if wanted.prove_here else None,
            bytes_there=_bytes(host, f"{wanted.backup}/{proving.DUMP}"),
        )
    )
    if wanted.only_on_loss and not reasons and found.fence is None:
        said = "" if found.info else losing.said(host, wanted.unit, found)
        reasons = tuple(filter(None, (losing.why_not(known, found, said),)))
    told = f"nothing was changed: {manifest.told(reasons)}" if reasons else ""
    return _with_data(host, wanted, seen, found, known, refusal=told)


def look(host: Host, wanted: Arguments) -> Seen:
    seen = standing.of_unit(wanted.unit, systemd.show(host, wanted.unit))
    known = _manifest(host, wanted)
    return _with_data(host, wanted, seen, standing.discovered(host, wanted), known)


def _with_data(
    host: Host,
    wanted: Arguments,
    unit: Standing,
    found: Found,
    known: Manifest,
    refusal: str = "",
) -> Seen:
    expected = known.contents.total if known.contents else -1
    seen = standing.with_data(host, unit, wanted, found)
    return _seen(seen, refusal=refusal, expected=expected)


def _seen(stands: Standing, *, refusal: str = "", expected: int = -1) -> Seen:
    common = {each.name: getattr(stands, each.name) for each in fields(Standing)}
    return Seen(**common, refusal=refusal, expected=expected)


def _manifest(host: Host, wanted: Arguments) -> Manifest:
    try:
        return proving.read_manifest(host, wanted.backup)
    except NotAManifest as fault:
        raise HostFault(str(fault)) from fault


def _bytes(host: Host, path: str) -> int:
    said = host.run(("stat", "-c", "%s", "--", path), seconds=10)
    return int(said.out) if said.ok else -1


def _free_memory(host: Host) -> int:
    for line in (host.read("/proc/meminfo") or "").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise HostFault("/proc/meminfo does not say how much memory is free")


def decide(_wanted: Arguments, seen: Seen) -> Act | Refuse:
    return Refuse(seen.refusal) if seen.refusal else Act()


def act(host: Host, wanted: Arguments, tell: Tell) -> None:
    known = _manifest(host, wanted)
    found = standing.discovered(host, wanted)
    if found.fence:
        # Left half-way by an earlier one: that is mended, whoever wants to stop.
        tell.keep_on()
    found = exchanging.take_back(host, wanted, found, tell)
    if found.folder is None:
        raise ActFailed("nothing was changed: its data folder is not there any more")
    place = places.place_of(found, found.folder)
    incoming, begun = restoring.begin(host, place), host.now()
    try:
        _copy_proved(host, wanted, known, found, place, incoming, tell)
        restoring.make_ready(host, place, incoming)
        name = "-".join(filter(None, (places.stamp(host), wanted.id)))
        kept = f"{place.folder}/{places.KEPT}{name}"
        proved = host.now()
        tell.keep_on()
        loading = exchanging.exchange(host, wanted, found, place, incoming, kept, tell)
        rates.keep(host, known.size_bytes, proved - begun, loading)
    except (ActFailed, HostFault):
        if found.fence or fencing.read(host, wanted.unit) is None:
            restoring.discard(host, incoming)
        raise


def _copy_proved(
    host: Host,
    wanted: Arguments,
    known: Manifest,
    found: Found,
    place: Place,
    incoming: str,
    tell: Tell,
) -> None:
    """The copy is made and hashed while a scratch server loads the backup. Raises ActFailed."""

    def copy() -> tuple[int, str]:
        return restoring.copy(host, place, wanted.backup, incoming)

    tell("copying the backup beside the data")
    try:
        if not wanted.prove_here:
            complaints = manifest.compare_file(known, *copy())
        else:
            tell("loading it in a scratch server meanwhile")
            used = programs(host, found, known.module_files)
            evidence = proving.load(host, wanted.backup, known, used, hashed=copy, tell=tell)
            complaints = manifest.compare(known, evidence)
    except NotLoaded as fault:
        complaints = (f"the backup could not be proved here: {fault}",)
    if complaints:
        raise ActFailed(f"nothing was changed: {manifest.told(complaints)}")


def release(host: Host, wanted: Arguments) -> None:
    exchanging.lift(host, wanted, standing.discovered(host, wanted))


def judge(_wanted: Arguments, before: Seen, now: Seen) -> Met | Unmet | Ripe:
    new = [name for name in now.kept if name not in before.kept]
    if unmet := standing.not_new(before, now):
        return Unmet(_kept(unmet.reason, now, new), final=unmet.final)
    if now.loaded != now.expected:
        reason = f"it loaded {now.loaded} keys, and the backup holds {now.expected}"
        return Unmet(_kept(standing.still_closed(reason), now, new), final=True)
    if now.indexing:
        return Unmet(f"its search indexes are being filled: {now.indexing}")
    if now.closed:
        return Ripe(f"all {now.expected} keys of the backup were loaded, and nobody is let in yet")
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
        f"redis-server on a socket of its own loads {wanted.backup}/dump.rdb",
        "meanwhile cp it beside the data, and compare its SHA-256; then the old owner and mode",
        "compare what it loaded, counts and samples, with its manifest",
        f"write {fencing.folder_of(wanted.unit)}/{fencing.FILE}: nobody but us reaches it",
        'CLIENT PAUSE, CONFIG SET save ""',
        f"systemctl stop {wanted.unit}",
        f"mv the dump and the append-only directory to {places.KEPT}TIME/",
        "mv the new ones into place",
        f"systemctl start {wanted.unit}, and count what it loaded",
        "CONFIG SET bind as it was, and remove that file: clients and replicas are let in",
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
    endable=True,
    in_plan=in_plan,
    release=release,
)
