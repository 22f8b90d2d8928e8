"""Runs over HTTP.

What lives here: the routes and the shape of a request. What must not: deciding; each route
hands its request to the coordinator. POST runs is part of the way from trigger to effect, so
nothing is done there but to open the run.
"""

from __future__ import annotations

import uuid
from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from orchestrator.core.incident import Incident
from orchestrator.web import shapes
from orchestrator.web.desk import AtDesk, Operator, Viewer, the_run
from orchestrator.web.problems import Problem, documented

router = APIRouter(prefix="/api/v1")

Limit = Annotated[int, Query(ge=1, le=100)]
Key = Annotated[str | None, Header(min_length=1, max_length=200, pattern="^[!-~]+$")]


class StartRun(BaseModel):
    """The scenario to carry out, and why."""

    model_config = ConfigDict(extra="forbid", strict=True)

    scenario: str = Field(min_length=1, max_length=100)
    reason: str = Field(default="by hand", min_length=1, max_length=500)


@router.post(
    "/runs",
    status_code=201,
    summary="Start a run (operator)",
    responses={
        201: {"model": shapes.RunShape},
        200: {"model": shapes.RunShape, "description": "the key's run"},
        **documented(400, 404, 413, 422),
    },
)
def start_run(
    wanted: StartRun, desk: AtDesk, caller: Operator, idempotency_key: Key = None
) -> JSONResponse:
    if not desk.coordinator.hears():
        raise Problem(
            503,
            "broker-away",
            "the broker cannot be reached, so nothing was started; see to it and try again, "
            "or use `autobot-dr recover --direct`",
        )
    run = str(uuid.uuid4())
    # A key belongs to its caller: nobody can meet another's by chance or find it out.
    key = f"{caller.name}:{idempotency_key}" if idempotency_key else ""
    reason = f"{wanted.reason} ({caller.name})"
    incident = desk.coordinator.recover(wanted.scenario, reason=reason, run=run, key=key)
    if incident.scenario != wanted.scenario:
        detail = (
            f"the key {idempotency_key!r} belongs to run {incident.run} of scenario "
            f"{incident.scenario!r}; use a new key"
        )
        raise Problem(422, "key-used-before", detail)
    status = 201 if incident.run == run else 200
    where = {"Location": f"/api/v1/runs/{incident.run}"}
    return JSONResponse(shapes.run_shape(incident), status, where)


@router.get(
    "/runs",
    summary="The newest runs (viewer)",
    responses={200: {"model": shapes.Runs}, **documented(422)},
)
def list_runs(desk: AtDesk, _caller: Viewer, limit: Limit = 20) -> JSONResponse:
    found = desk.coordinator.store.runs(limit=limit)
    return JSONResponse({"runs": [shapes.run_shape(each) for each in found]})


@router.get(
    "/runs/{run}",
    summary="A run with its steps and timeline (viewer)",
    responses={200: {"model": shapes.RunWithTimeline}, **documented(404)},
)
def show_run(run: str, desk: AtDesk, _caller: Viewer) -> JSONResponse:
    incident = the_run(desk, run)
    timeline = desk.coordinator.store.timeline(run)
    objectives = desk.coordinator.protected.fleet.objectives
    headways = desk.coordinator.store.headways.of_run(run)
    return JSONResponse(shapes.run_with_timeline(incident, timeline, objectives, headways))


@router.post(
    "/runs/{run}/approve",
    summary="Let the rung begin that waits for approval (operator)",
    responses={200: {"model": shapes.RunShape}, **documented(404, 409)},
)
def approve_run(run: str, desk: AtDesk, caller: Operator) -> JSONResponse:
    return _told(desk.coordinator.approve(run, caller.name))


@router.post(
    "/runs/{run}/cancel",
    summary="Stop a run; a person takes over (operator)",
    responses={200: {"model": shapes.RunShape}, **documented(404, 409)},
)
def cancel_run(run: str, desk: AtDesk, caller: Operator) -> JSONResponse:
    return _told(desk.coordinator.cancel(run, caller.name))


@router.post(
    "/runs/{run}/resume",
    summary="Let an escalated run try its rung once more (operator)",
    responses={200: {"model": shapes.RunShape}, **documented(404, 409)},
)
def resume_run(run: str, desk: AtDesk, caller: Operator) -> JSONResponse:
    return _told(desk.coordinator.resume(run, caller.name))


def _told(incident: Incident) -> JSONResponse:
    return JSONResponse(shapes.run_shape(incident))
