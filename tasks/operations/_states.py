"""What the operations on backups of the coordinator's state share: looking at a folder of them.

What must not be here: any one of these operations.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

from tasks.host import Host, HostFault
from tasks.operation import Met, Unmet

LOOK_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Newest:
    """The backups in a folder, and what is known of the newest."""

    names: tuple[str, ...]
    state: str = ""
    reason: str = ""
    rows: int = 0
    size_bytes: int = 0
    verified_at: float = 0.0
    point: str = ""  #: for the coordinator's catalogue


def program(*words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "tasks.backup.state", *words)


def look_at(host: Host, into: str) -> Newest:
    ran = host.run(program("newest", into), seconds=LOOK_SECONDS)
    if not ran.ok:
        raise HostFault(f"{into} cannot be looked through: {ran.complaint}")
    return newest(ran.out)


def newest(said: str) -> Newest:
    found = json.loads(said)
    point = found["point"]
    if not point:
        return Newest(tuple(found["names"]))
    told = json.dumps({"restore_point": point}, sort_keys=True) if "id" in point else ""
    return Newest(
        tuple(found["names"]),
        point["state"],
        point["reason"],
        found["rows"],
        point.get("size_bytes", 0),
        point.get("verified_at") or 0.0,
        told,
    )


def judged(into: str, before: Newest, now: Newest) -> Met | Unmet:
    """Whether there is a new one, and it is proved."""
    new = [name for name in now.names if name not in before.names]
    if not new:
        return Unmet(f"there is no new backup in {into}")
    folder = f"{into}/{new[-1]}"
    if now.state == "verified":
        said = f"{folder}: {now.rows} rows, {now.size_bytes} bytes, opened and counted"
        return Met(said, now.point)
    return Unmet(f"{folder} is {now.state}: {now.reason}", now.point, final=now.state == "failed")
