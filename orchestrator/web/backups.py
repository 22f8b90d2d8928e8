"""Backups and restore points over HTTP.

What lives here: the routes. What must not: what speaks against a backup (orchestrator/backups.py).
What is ordered here is a run: its progress is asked for as that of any other.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from orchestrator.core.incident import Incident
from orchestrator.web import backupshape, shapes
from orchestrator.web.access import Caller
from orchestrator.web.desk import AtDesk, Desk, Operator, Viewer
from orchestrator.web.incidents import Limit
from orchestrator.web.problems import Problem, documented
from orchestrator.web.runs import Key

router = APIRouter(prefix="/api/v1")


class Why(BaseModel):
    """The reason, for the timeline."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: str = Field(default="by hand", min_length=1, max_length=500)


class PruneWhy(Why):
    """And whether it is only to be said what would go."""

    dry_run: bool = False


RUN = {201: {"model": shapes.RunShape}, **documented(404, 409, 413, 422)}


@router.get(
    "/backups",
    summary="What is backed up, each with its newest verified restore point (viewer)",
    responses={200: {"model": backupshape.JobsShape}, **documented()},
)
def list_jobs(desk: AtDesk, _caller: Viewer) -> JSONResponse:
    points = desk.coordinator.store.restore_points
    fleet = desk.coordinator.protected.fleet
    found = [
        backupshape.job_shape(each, points.newest_verified(each.service, job=each.name), fleet)
        for each in desk.backups.jobs.values()
    ]
    return JSONResponse({"backups": found})


@router.post(
    "/backups/{job}/run",
    status_code=201,
    summary="Take a backup now (operator)",
    responses=RUN,
)
def run_job(
    job: str, why: Why, desk: AtDesk, caller: Operator, idempotency_key: Key = None
) -> JSONResponse:
    demand_broker(desk)
    key = key_of(caller, idempotency_key, f"backup:{job}")
    return begun(desk.backups.take(job, reason=reason_of(why, caller), key=key))


@router.post(
    "/backups/{job}/doctor",
    status_code=201,
    summary="Find what will bite its backups; changes nothing (operator)",
    responses=RUN,
)
def examine_job(
    job: str, why: Why, desk: AtDesk, caller: Operator, idempotency_key: Key = None
) -> JSONResponse:
    demand_broker(desk)
    key = key_of(caller, idempotency_key, f"doctor:{job}")
    return begun(desk.backups.examine(job, reason=reason_of(why, caller), key=key))


@router.post(
    "/backups/{job}/prune",
    status_code=201,
    summary="Remove its backups that need not be kept (operator)",
    responses=RUN,
)
def prune_job(
    job: str, why: PruneWhy, desk: AtDesk, caller: Operator, idempotency_key: Key = None
) -> JSONResponse:
    demand_broker(desk)
    key = key_of(caller, idempotency_key, f"prune:{job}:{why.dry_run}")
    reason = reason_of(why, caller)
    return begun(desk.backups.prune(job, dry_run=why.dry_run, reason=reason, key=key))


@router.post(
    "/backups/{job}/scan",
    status_code=201,
    summary="Ask its vault for what it has, after the catalogue was lost (operator)",
    responses=RUN,
)
def scan_job(
    job: str, why: Why, desk: AtDesk, caller: Operator, idempotency_key: Key = None
) -> JSONResponse:
    demand_broker(desk)
    key = key_of(caller, idempotency_key, f"scan:{job}")
    return begun(desk.backups.scan(job, reason=reason_of(why, caller), key=key))


@router.get(
    "/restore-points",
    summary="The newest restore points, those that failed included (viewer)",
    responses={200: {"model": backupshape.RestorePointsShape}, **documented(422)},
)
def list_points(
    desk: AtDesk,
    _caller: Viewer,
    limit: Limit = 20,
    job: Annotated[str, Query(max_length=100)] = "",
) -> JSONResponse:
    found = desk.coordinator.store.restore_points.newest(limit=limit, job=job)
    return JSONResponse({"restore_points": [backupshape.point_shape(each) for each in found]})


@router.get(
    "/restore-points/{point}",
    summary="A restore point (viewer)",
    responses={200: {"model": backupshape.RestorePointShape}, **documented(404)},
)
def show_point(point: str, desk: AtDesk, _caller: Viewer) -> JSONResponse:
    return JSONResponse(backupshape.point_shape(desk.backups.point(point)))


@router.post(
    "/restore-points/{point}/verify",
    status_code=201,
    summary="Open it in a scratch place once more, and compare (operator)",
    responses=RUN,
)
def verify_point(
    point: str, why: Why, desk: AtDesk, caller: Operator, idempotency_key: Key = None
) -> JSONResponse:
    demand_broker(desk)
    key = key_of(caller, idempotency_key, f"verify:{point}")
    return begun(desk.backups.verify(point, reason=reason_of(why, caller), key=key))


@router.get(
    "/restore-points/{point}/plan",
    summary="What restoring it would do; nothing is done (viewer)",
    responses={200: {"model": backupshape.RestorePlanShape}, **documented(404, 409)},
)
def plan_restore(point: str, desk: AtDesk, _caller: Viewer) -> JSONResponse:
    found = desk.backups.point(point)
    plan = desk.backups.restore_plan(found)
    fleet = desk.coordinator.protected.fleet
    means = desk.backups.job_of(found).restore_means(fleet)
    return JSONResponse(backupshape.restore_plan_shape(found, means, plan, fleet))


@router.post(
    "/restore-points/{point}/restore",
    status_code=201,
    summary="Put it in the place of what the service has; that is kept (operator)",
    responses=RUN,
)
def restore_point(
    point: str, why: Why, desk: AtDesk, caller: Operator, idempotency_key: Key = None
) -> JSONResponse:
    demand_broker(desk)
    key = key_of(caller, idempotency_key, f"restore:{point}")
    return begun(desk.backups.restore(point, reason=reason_of(why, caller), key=key))


def demand_broker(desk: Desk) -> None:
    if not desk.coordinator.hears():
        detail = "the broker cannot be reached, so nothing was started; see to it and try again"
        raise Problem(503, "broker-away", detail)


def key_of(caller: Caller, given: str | None, what: str) -> str:
    """A key counts for its caller and for what was asked with it."""
    return f"{caller.name}:{what}:{given}" if given else ""


def reason_of(why: Why, caller: Caller) -> str:
    return f"{why.reason} ({caller.name})"


def begun(incident: Incident) -> JSONResponse:
    where = {"Location": f"/api/v1/runs/{incident.run}"}
    return JSONResponse(shapes.run_shape(incident), 201, where)
