"""What the operations share that make backups of a Redis or copy them: looking at their folder.

What must not be here: any one of these operations, and what a manifest means (tasks/backup).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tasks.backup.manifest import Manifest, State
from tasks.host import Host
from tasks.operation import Met, Unmet


def backups_in(host: Host, into: str) -> tuple[str, ...]:
    """The folders of backups by name, which is by time."""
    argv = ("find", into, "-maxdepth", "1", "-name", "redis-*", "-printf", "%f\\n")
    return tuple(sorted(host.run(argv, seconds=30).out.split()))


def keys_of(manifest: Manifest) -> int:
    return manifest.contents.total if manifest.contents else 0


def new_in(before: Collection[str], now: Sequence[str]) -> str:
    """The newest that was not there before, or nothing."""
    return next((name for name in reversed(now) if name not in before), "")


def judged(folder: str, state: str, reason: str, point: str, proved: str) -> Met | Unmet:
    """By its manifest's state; `proved` says what a verified one has."""
    if state == State.VERIFIED:
        return Met(f"{folder}: {proved}", point)
    if state == State.FAILED:
        return Unmet(f"{folder} failed its proof: {reason}", point, final=True)
    return Unmet(f"{folder} is {state}, and nobody has loaded it yet", point)
