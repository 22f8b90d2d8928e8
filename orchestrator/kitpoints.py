"""The restore points that a kit names: read from the vault, shortened for strangers.

What lives here: these values, and their line in points.txt, which the scripts read. What must not:
the coordinator's catalogue. The vault's own folders are asked, because they are what is restored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from orchestrator.config import Configuration
from orchestrator.core.redisbackups import RedisJob
from orchestrator.wording import moment
from tasks.backup.manifest import Manifest, NotAManifest, State
from tasks.backup.proving import read_manifest
from tasks.host import Host

#: Of each job; older ones are where these are.
POINTS, LOOKED_AT = 10, 60


@dataclass(frozen=True, slots=True)
class Point:
    """One verified backup, and where it is."""

    job: str
    service: str
    location: str
    manifest: Manifest

    @property
    def keys(self) -> int:
        known = self.manifest
        return known.contents.total if known.contents else known.source_keys


def redis_jobs(configuration: Configuration) -> list[RedisJob]:
    jobs = configuration.inventory.backups.values()
    return [each for each in jobs if isinstance(each, RedisJob)]


def points_of(host: Host, job: RedisJob) -> Iterator[Point]:
    """The newest verified ones, by what the vault itself says."""
    argv = ("find", job.folder, "-maxdepth", "1", "-name", "redis-*", "-printf", "%f\\n")
    names = sorted(host.run(argv, seconds=30).out.split(), reverse=True)
    left = POINTS
    for name in names[:LOOKED_AT]:
        try:
            known = read_manifest(host, f"{job.folder}/{name}")
        except NotAManifest:
            continue
        if known.state is State.VERIFIED and left:
            left -= 1
            yield Point(job.name, job.service, f"{job.vault}:{job.folder}/{name}", known)


def public(known: Manifest) -> Manifest:
    """Without the names of keys, which may tell more than a stranger should read."""
    contents = known.contents and replace(known.contents, samples={})
    return replace(known, contents=contents)


def line(point: Point) -> str:
    known = point.manifest
    covers = moment(known.covers_until).replace(" ", "T")
    words = (point.service, known.id, covers, known.size_bytes, point.keys, point.location)
    return " ".join(map(str, words)) + "\n"
