"""Incidents over HTTP: looking at them, and what people say of them.

What lives here: the routes. What must not: deciding; the coordinator does that. What is learned
afterwards is in reviews.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, StringConstraints

from orchestrator.core.incident import Incident
from orchestrator.web.desk import AtDesk, Desk, Operator, Viewer, the_incident
from orchestrator.web.incidentshape import (
    Incidents,
    IncidentShape,
    IncidentSummary,
    incident_shape,
    incident_summary,
)
from orchestrator.web.problems import documented

router = APIRouter(prefix="/api/v1")

Limit = Annotated[int, Query(ge=1, le=100)]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]


class Because(BaseModel):
    """Why."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: Reason


class Note(BaseModel):
    """What is to be remembered."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: Words


@router.get(
    "/incidents",
    summary="The newest incidents (viewer)",
    responses={200: {"model": Incidents}, **documented(422)},
)
def list_incidents(desk: AtDesk, _caller: Viewer, limit: Limit = 20) -> JSONResponse:
    store = desk.coordinator.store
    found = store.runs(limit=limit, urgent=True)
    ids = [each.id for each in found]
    findings, follow_ups = store.notebook.findings(ids), store.notebook.follow_ups(ids)
    shown = [incident_summary(each, findings, follow_ups) for each in found]
    return JSONResponse({"incidents": shown})


@router.get(
    "/incidents/{incident}",
    summary="An incident with its timeline, consequences and calls (viewer)",
    responses={200: {"model": IncidentShape}, **documented(404)},
)
def show_incident(incident: str, desk: AtDesk, _caller: Viewer) -> JSONResponse:
    found, store = the_incident(desk, incident), desk.coordinator.store
    shape = incident_shape(
        found,
        store.timeline(found.run),
        store.notebook.findings([found.id]),
        store.notebook.follow_ups([found.id]),
        desk.calls(found.run),
        desk.coordinator.protected.fleet.objectives,
    )
    return JSONResponse(shape)


def _told(desk: Desk, tell: Callable[[], Incident]) -> JSONResponse:
    """What somebody said was taken in; the incident as it is now."""
    found, notebook = tell(), desk.coordinator.store.notebook
    ids = [found.id]
    return JSONResponse(incident_summary(found, notebook.findings(ids), notebook.follow_ups(ids)))


@router.post(
    "/incidents/{incident}/ack",
    summary="Say that you have it in hand; nobody further is called (operator)",
    responses={200: {"model": IncidentSummary}, **documented(404, 409)},
)
def acknowledge(incident: str, desk: AtDesk, caller: Operator) -> JSONResponse:
    return _told(desk, lambda: desk.coordinator.acknowledge(incident, caller.name))


@router.post(
    "/incidents/{incident}/notes",
    summary="Write a line into the timeline (operator)",
    responses={200: {"model": IncidentSummary}, **documented(404, 413, 422)},
)
def note(incident: str, wanted: Note, desk: AtDesk, caller: Operator) -> JSONResponse:
    return _told(desk, lambda: desk.coordinator.note(incident, caller.name, wanted.text))


@router.post(
    "/incidents/{incident}/resolve",
    summary="Say that it is resolved; the watcher reopens it if it is not (operator)",
    responses={200: {"model": IncidentSummary}, **documented(404, 409, 413, 422)},
)
def resolve(incident: str, wanted: Because, desk: AtDesk, caller: Operator) -> JSONResponse:
    return _told(desk, lambda: desk.coordinator.resolve(incident, caller.name, wanted.reason))


@router.post(
    "/incidents/{incident}/close",
    summary="Close an incident that is resolved or escalated (operator)",
    responses={200: {"model": IncidentSummary}, **documented(404, 409, 413, 422)},
)
def close(incident: str, wanted: Because, desk: AtDesk, caller: Operator) -> JSONResponse:
    return _told(desk, lambda: desk.coordinator.close(incident, caller.name, wanted.reason))
