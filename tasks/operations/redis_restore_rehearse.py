"""redis.restore_rehearse: what a restore would replace, how long it takes, what is against it.

Changes nothing and needs no backup on this machine: only how large it is.
"""

from __future__ import annotations

from dataclasses import dataclass

from tasks.backup import allowing, exchanging, places, rates, standing
from tasks.backup.exchanging import Target
from tasks.host import Host
from tasks.operation import Act, Met, Refuse, Unmet, only_look


@dataclass(frozen=True, slots=True)
class Arguments(Target):
    size_bytes: int = 0  #: of the backup's dump
    replicas: str = "hold"


@dataclass(frozen=True, slots=True)
class Seen:
    against: tuple[str, ...]
    replaced: tuple[str, ...]  #: files and folders, each with its size
    keys: int
    clients: int
    unfenced: str  #: why clients cannot be kept away, or nothing
    seconds: float  #: all of it
    closed_seconds: float  #: of that, nobody is let in
    measured: bool  #: by an earlier restore here


def look(host: Host, wanted: Arguments) -> Seen:
    found = standing.discovered(host, wanted)
    rate = rates.read(host)
    live = int((found.info or {}).get("used_memory", 0))
    against = tuple(allowing.why_not_here(found, wanted.size_bytes, wanted.replicas))
    folder = found.folder.path if found.folder else ""
    names = places.place_of(found, found.folder).names if found.folder else ()
    # What only its memory has is written down first, where append-only is off.
    saving = 0.0 if found.append_only else live / rate.load
    return Seen(
        against,
        places.sizes(host, folder, names) if folder else (),
        sum(found.keys.values()),
        int((found.info or {}).get("connected_clients", 0)),
        exchanging.why_not_fenced(found),
        wanted.size_bytes / rate.prove + wanted.size_bytes / rate.load + saving,
        wanted.size_bytes / rate.load + saving,
        rate.measured,
    )


def decide(_wanted: Arguments, seen: Seen) -> Act | Refuse:
    if seen.against:
        return Refuse(f"a restore would be refused: {'; '.join(seen.against)}")
    return Act()


def judge(wanted: Arguments, seen: Seen) -> Met | Unmet:
    by = "as the last one here" if seen.measured else "by a rate that was not measured here"
    detail = [f"replaced and kept: {each}" for each in seen.replaced] or ["nothing is replaced"]
    detail.append(f"live now: {seen.keys} keys, {seen.clients} clients")
    if seen.unfenced:
        detail.append(f"clients are not kept away while it is verified: {seen.unfenced}")
    return Met(
        f"a restore of {wanted.size_bytes} bytes takes about {seen.seconds:.0f} s, for "
        f"{seen.closed_seconds:.0f} s of which nobody is let in ({by})",
        "\n".join(detail),
    )


restore_rehearse = only_look(
    "redis.restore_rehearse",
    "Look at what a restore of Redis would replace, and how long it would take",
    Arguments,
    Seen,
    look,
    judge,
    seconds=60,
    decide=decide,
    in_plan=lambda wanted: (
        f"look at the data of {wanted.unit}, its replicas, room and version; change nothing",
    ),
)
