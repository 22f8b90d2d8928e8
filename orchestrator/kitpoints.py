"""The restore points that a kit names, and what each job's secrets are: read from the vault.

What lives here: these values, and their line in points.txt, which the scripts read. What must not:
the coordinator's catalogue. The vault's own folders are asked, because they are what is restored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace

from orchestrator.config import Configuration
from orchestrator.core.backups import Job
from orchestrator.core.filebackups import FilesJob
from orchestrator.core.redisbackups import RedisJob
from orchestrator.wording import moment
from tasks.backup import fileproof
from tasks.backup import manifest as manifests
from tasks.backup.manifest import Manifest, NotAManifest, State
from tasks.backup.proving import read_manifest
from tasks.host import Host

#: Of each job; older ones are where these are.
POINTS, LOOKED_AT = 10, 60


@dataclass(frozen=True, slots=True)
class Point:
    """One verified backup, and where it is."""

    of: str  #: the service, or the job where it is of files
    id: str
    covers_until: float
    size_bytes: int
    holds: str  #: the number of keys, or what files
    location: str
    text: str  #: what it must be, as the scripts read it

    @property
    def line(self) -> str:
        covers = moment(self.covers_until).replace(" ", "T")
        words = (self.of, self.id, covers, self.size_bytes, self.location)
        return " ".join(map(str, words)) + "\n"


def redis_jobs(configuration: Configuration) -> list[RedisJob]:
    jobs = configuration.inventory.backups.values()
    return [each for each in jobs if isinstance(each, RedisJob)]


def files_jobs(configuration: Configuration) -> list[FilesJob]:
    jobs = configuration.inventory.backups.values()
    return [each for each in jobs if isinstance(each, FilesJob)]


def name_of(job: Job) -> str:
    """What its points are called by in points.txt."""
    return job.service or job.name


def points_of(host: Host, job: Job) -> Iterator[Point]:
    """The newest verified ones of a job, by what its vault itself says."""
    match job:
        case RedisJob():
            yield from _of_redis(host, job)
        case FilesJob():
            yield from _of_files(host, job)


def _of_redis(host: Host, job: RedisJob) -> Iterator[Point]:
    left = POINTS
    for name in _names(host, job.folder, "redis-*", "%f"):
        try:
            known = read_manifest(host, f"{job.folder}/{name}")
        except NotAManifest:
            continue
        if known.state is State.VERIFIED and left:
            left -= 1
            keys = known.contents.total if known.contents else known.source_keys
            yield Point(
                job.service,
                known.id,
                known.covers_until,
                known.size_bytes,
                f"{keys} keys",
                f"{job.vault}:{job.folder}/{name}",
                manifests.to_json(_public(known)),
            )


def _of_files(host: Host, job: FilesJob) -> Iterator[Point]:
    """By the evidence that each proof left beside the repository; its manifest is inside."""
    left = POINTS
    for found in _names(host, f"{job.folder}.evidence", "*.json", "%T@ %f"):
        name = found.rpartition(" ")[2]
        known = fileproof.known(host, job.folder, name.removesuffix(".json"))
        if known and known.state == State.VERIFIED and left:
            left -= 1
            yield Point(
                job.name,
                known.id,
                known.covers_until,
                known.size_bytes,
                known.holds,
                f"{job.vault}:{job.folder}",
                json.dumps(asdict(known), indent=1, sort_keys=True) + "\n",
            )


def _names(host: Host, folder: str, pattern: str, shown: str) -> list[str]:
    argv = ("find", folder, "-maxdepth", "1", "-name", pattern, "-printf", f"{shown}\\n")
    found = host.run(argv, seconds=30).out.splitlines()
    return sorted(found, reverse=True)[:LOOKED_AT]


def _public(known: Manifest) -> Manifest:
    """Without the names of keys, which may tell more than a stranger should read."""
    contents = known.contents and replace(known.contents, samples={})
    return replace(known, contents=contents)


def secret_files(configuration: Configuration, machine: str) -> set[str]:
    """The files of a machine that hold nothing but what a backup is opened or reached with."""
    found: set[str] = set()
    for job in configuration.inventory.backups.values():
        match job:
            case RedisJob(vault=vault, offsite=offsite):
                service = configuration.fleet.services[job.service]
                if machine in (vault, service.machine):
                    found.add(str(service.settings.get("password_file", "")))
            case FilesJob(vault=vault, offsite=offsite):
                if machine in (vault, job.machine):
                    found.add(job.password_file)
                if machine == job.machine and job.push:
                    found.add(job.push.key)
            case _:
                continue
        if offsite and machine == vault:
            found.add(offsite.password_file)
    return found - {""}


def words_of(job: FilesJob) -> Mapping[str, str]:
    """What restore-files.sh has to know, under the names that it knows it by."""
    away = job.offsite
    return {
        "MACHINE": job.machine,
        "VAULT": job.vault,
        "REPOSITORY": job.folder,
        "PASSWORD_FILE": job.password_file,
        "OFFSITE": away.repository if away else "",
        "OFFSITE_PASSWORD_FILE": away.password_file if away else "",
    }
