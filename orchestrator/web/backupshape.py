"""What programs see of backups: jobs and restore points, in the words of FACES.md.

What lives here: the shapes, and the way from the core's values to them. What must not: FastAPI.
Times are RFC 3339 in UTC, durations seconds.
"""

from __future__ import annotations

from typing_extensions import TypedDict

from orchestrator.core.backups import Job
from orchestrator.core.fleet import Fleet
from orchestrator.core.plan import Plan
from orchestrator.core.restorepoints import RestorePoint
from orchestrator.web.captureshape import CaptureShape
from orchestrator.web.planshape import RungShape, rung_shape
from orchestrator.web.shapes import maybe, rfc3339


class RestorePointShape(TypedDict):
    """A backup. Only a verified one is restored: it was opened in a scratch place and compared."""

    id: str
    job: str
    kind: str
    service: str
    machine: str
    taken_at: str
    covers_until: str
    verified_at: str | None
    state: str
    reason: str
    size_bytes: int
    sha256: str
    location: list[str]


class RestorePointsShape(TypedDict):
    restore_points: list[RestorePointShape]


class JobShape(TypedDict):
    """What is backed up, where it is kept, and how old the newest verified one may become."""

    name: str
    kind: str
    service: str
    machine: str
    vault: str
    folder: str
    at: str | None
    days: list[int]
    every_s: float | None
    rpo_target_s: float
    rpo_maximum_s: float
    newest: RestorePointShape | None
    capture: CaptureShape | None


class JobsShape(TypedDict):
    backups: list[JobShape]


class RestoreAtPlanShape(TypedDict):
    """What a restore to a second would do. Nothing was done. `at` is null for the last one."""

    job: str
    at: str | None
    means: str
    rungs: list[RungShape]


class RestorePlanShape(TypedDict):
    """What a restore would do. Nothing was done."""

    restore_point: RestorePointShape
    means: str
    rungs: list[RungShape]


def point_shape(point: RestorePoint) -> RestorePointShape:
    return {
        "id": point.id,
        "job": point.job,
        "kind": point.kind,
        "service": point.service,
        "machine": point.machine,
        "taken_at": rfc3339(point.taken_at),
        "covers_until": rfc3339(point.covers_until),
        "verified_at": maybe(point.verified_at),
        "state": point.state.value,
        "reason": point.reason,
        "size_bytes": point.size_bytes,
        "sha256": point.sha256,
        "location": list(point.location),
    }


def job_shape(
    job: Job, newest: RestorePoint | None, fleet: Fleet, capture: CaptureShape | None = None
) -> JobShape:
    at = None
    if job.at_s is not None:
        at = f"{int(job.at_s) // 3600:02}:{int(job.at_s) % 3600 // 60:02}"
    return {
        "name": job.name,
        "kind": job.kind,
        "service": job.service,
        "machine": fleet.services[job.service].machine if job.service else job.subject,
        "vault": job.vault,
        "folder": job.folder,
        "at": at,
        "days": sorted(job.days),
        "every_s": job.every_s,
        "rpo_target_s": job.rpo_target_s,
        "rpo_maximum_s": job.rpo_maximum_s,
        "newest": point_shape(newest) if newest else None,
        "capture": capture,
    }


def restore_plan_shape(
    point: RestorePoint, means: str, plan: Plan, fleet: Fleet
) -> RestorePlanShape:
    return {
        "restore_point": point_shape(point),
        "means": means,
        "rungs": [rung_shape(each, fleet) for each in plan.rungs],
    }


def restore_at_plan_shape(
    job: Job, at: int | None, means: str, plan: Plan, fleet: Fleet
) -> RestoreAtPlanShape:
    return {
        "job": job.name,
        "at": maybe(at),
        "means": means,
        "rungs": [rung_shape(each, fleet) for each in plan.rungs],
    }
