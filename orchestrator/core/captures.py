"""A Redis that is captured without a pause: its settings, its watch, the restore of a second.

What lives here: what a continuous job means for a capture, for the watcher and for a restore.
What must not: the plans of every Redis backup (redisbackups.py), and starting a capture.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from orchestrator.core.backups import Job, bound_step, only_steps
from orchestrator.core.compiling import bound_settings
from orchestrator.core.fleet import Fleet
from orchestrator.core.health import CAPTURES, Rule, Use, Watch
from orchestrator.core.plan import Branch, Catalog, Plan, PlannedRung
from orchestrator.core.redisbackups import CUT, RedisJob
from orchestrator.core.restorepoints import PointState, RestorePoint
from tasks.contract import Json

PROBE, COVERS = "capture", "redis.covers"
#: One that is started again is away for a second; three in a row are no accident.
RULE = Rule(bad=3, of=3)


def continuous(jobs: Iterable[Job]) -> Iterator[RedisJob]:
    return (each for each in jobs if isinstance(each, RedisJob) and each.continuous)


def capture_settings(job: RedisJob, fleet: Fleet) -> dict[str, Json]:
    """What the settings file of its capture holds."""
    service = fleet.services[job.service]
    given = bound_settings(fleet.machines[service.machine], service)
    wanted: dict[str, Json] = {"directory": job.captured}
    wanted |= {n: given[n] for n in ("address", "port", "password_file", "user") if n in given}
    if job.continuous:
        wanted["segment_seconds"] = job.continuous.segment_s
    return wanted


def capture_watches(jobs: Iterable[Job]) -> Iterator[Watch]:
    """Asked by the vault's agent: whether each capture lives, and how far behind it is."""
    for job in continuous(jobs):
        lag = job.continuous.lag_s if job.continuous else 0.0
        arguments = {"captured": job.captured, "lag_s": lag}
        name = f"{CAPTURES}{job.name}"
        yield Watch(name, Use.OWN, job.service, "", PROBE, arguments, job.vault, rule=RULE)


def covers_plan(job: RedisJob, at: int | None, catalog: Catalog) -> Plan:
    """Say what would be loaded for this second, or for all there is; changes nothing."""
    given = {"captured": job.captured, **_second(at)}
    step = bound_step(catalog, COVERS, job.vault, job.vault, job.service, given)
    title = f"What was captured {until(at)}"
    return only_steps(f"covers-{job.name}", job.name, title, step)


def point_at(job: RedisJob, at: int | None, now: float, fleet: Fleet) -> RestorePoint:
    """The backup that will be made of it. Its name is known before, so that it can be ordered."""
    taken, second = (datetime.fromtimestamp(each, UTC) for each in (now, at or 0))
    until = "last" if at is None else f"at-{second:%Y%m%dT%H%M%SZ}"
    name = f"redis-{taken:%Y%m%dT%H%M%S}.{taken.microsecond // 1000:03d}Z-{until}"
    return RestorePoint(
        id=name,
        job=job.name,
        service=job.service,
        machine=fleet.services[job.service].machine,
        vault=job.vault,
        folder=f"{job.folder}/{name}",
        taken_at=now,
        covers_until=now if at is None else float(at),
        verified_at=None,
        state=PointState.TAKEN,
        reason="",
        size_bytes=0,
        sha256="",
        reported_at=now,
        kind=job.kind,
    )


def restore_at_plan(
    job: RedisJob, at: int | None, point: RestorePoint, fleet: Fleet, catalog: Catalog
) -> Plan:
    """Make a proved backup of that second, or of all there is, then restore it as any other."""
    service = fleet.services[job.service]
    given: Mapping[str, Json] = {
        **bound_settings(fleet.machines[service.machine], service),
        "into": job.folder,
        "captured": job.captured,
        "patterns": list(job.patterns),
        **_second(at),
        "name": point.id,
    }
    cut = bound_step(catalog, CUT, job.vault, job.vault, job.service, given)
    plan = job.restore_plan(point, fleet, catalog)
    (rung,) = plan.rungs
    branch, *after = rung.branches
    steps = tuple(replace(each, number=n) for n, each in enumerate((cut, *branch.steps)))
    # By the branch's name the catalogue knows whose backup it is.
    whole = (replace(branch, name=job.name, steps=steps), *map(_one_later, after))
    title = f"Restore {job.service} with what was captured {until(at)}"
    return replace(plan, rungs=(PlannedRung(title, rung.approval, whole),))


def _one_later(branch: Branch) -> Branch:
    steps = tuple(replace(each, number=each.number + 1) for each in branch.steps)
    return replace(branch, steps=steps)


def _second(at: int | None) -> dict[str, Json]:
    return {} if at is None else {"at": at}


def until(at: int | None) -> str:
    return "until its end" if at is None else f"until the end of {clock(at)}"


def clock(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"
