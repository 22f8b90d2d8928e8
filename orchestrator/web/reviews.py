"""Reviews over HTTP: the document, and what people write into it.

What lives here: the routes under /api/v1, and the way from the store to a review. What must
not: the page with its forms (pages.py) and what a review says (core/review.py).
"""

from __future__ import annotations

from functools import cache
from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from orchestrator import reviewpage
from orchestrator.core.lessons import About
from orchestrator.core.review import Records, Review, review
from orchestrator.web.desk import AtDesk, Desk, Operator, Viewer, the_incident
from orchestrator.web.incidents import Words
from orchestrator.web.problems import Problem, documented
from orchestrator.web.reviewshape import (
    FindingShape,
    FollowUps,
    FollowUpShape,
    ReviewShape,
    finding_shape,
    follow_up_shape,
    review_shape,
)
from tasks import catalog

router = APIRouter(prefix="/api/v1")


#: What any database holds as a whole number.
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]


class NewFinding(BaseModel):
    """A root cause or a lesson. The newest root cause holds."""

    model_config = ConfigDict(extra="forbid", strict=True)

    about: Annotated[About, Field(strict=False)]
    text: Words


class NewFollowUp(BaseModel):
    """What is to be done, and by whom."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: Words
    owner: Annotated[str, StringConstraints(strip_whitespace=True, max_length=100)] = ""


@cache
def diagnoses() -> frozenset[str]:
    return frozenset(name for name, each in catalog.operations().items() if each.diagnosis)


def review_of(desk: Desk, incident: str) -> Review:
    """The review of this incident from what is stored now, or UnknownIncident."""
    found, store = the_incident(desk, incident), desk.coordinator.store
    records = Records(
        found,
        store.timeline(found.run),
        store.reports(found.run),
        desk.calls(found.run),
        store.notebook.findings([found.id]),
        store.notebook.follow_ups([found.id]),
    )
    return review(records, diagnoses(), desk.coordinator.protected.fleet.objectives)


@router.get(
    "/incidents/{incident}/review",
    summary="The post-incident review (viewer)",
    responses={200: {"model": ReviewShape}, **documented(404)},
)
def show_review(incident: str, desk: AtDesk, _caller: Viewer) -> JSONResponse:
    return JSONResponse(review_shape(review_of(desk, incident)))


@router.get(
    "/incidents/{incident}/review.md",
    summary="The post-incident review as Markdown (viewer)",
    response_class=PlainTextResponse,
    responses=documented(404),
)
def review_as_markdown(incident: str, desk: AtDesk, _caller: Viewer) -> PlainTextResponse:
    text = reviewpage.as_markdown(review_of(desk, incident))
    return PlainTextResponse(text, media_type="text/markdown; charset=utf-8")


@router.get(
    "/incidents/{incident}/review.html",
    summary="The post-incident review as a page of its own, to be kept (viewer)",
    response_class=HTMLResponse,
    responses=documented(404),
)
def review_as_html(incident: str, desk: AtDesk, _caller: Viewer) -> HTMLResponse:
    return HTMLResponse(reviewpage.as_html(review_of(desk, incident)))


@router.post(
    "/incidents/{incident}/findings",
    status_code=201,
    summary="Write a root cause or a lesson into the review (operator)",
    responses={201: {"model": FindingShape}, **documented(404, 413, 422)},
)
def add_finding(incident: str, wanted: NewFinding, desk: AtDesk, caller: Operator) -> JSONResponse:
    coordinator = desk.coordinator
    found = coordinator.store.notebook.add_finding(
        incident, wanted.about, wanted.text, by=caller.name, at=coordinator.now()
    )
    return JSONResponse(finding_shape(found), 201)


@router.post(
    "/incidents/{incident}/follow-ups",
    status_code=201,
    summary="Write down what is still to be done (operator)",
    responses={201: {"model": FollowUpShape}, **documented(404, 413, 422)},
)
def add_follow_up(
    incident: str, wanted: NewFollowUp, desk: AtDesk, caller: Operator
) -> JSONResponse:
    coordinator = desk.coordinator
    found = coordinator.store.notebook.add_follow_up(
        incident, wanted.text, owner=wanted.owner, by=caller.name, at=coordinator.now()
    )
    return JSONResponse(follow_up_shape(found), 201)


@router.get(
    "/incidents/{incident}/follow-ups",
    summary="What was to be done after this incident, done or not (viewer)",
    responses={200: {"model": FollowUps}, **documented(404)},
)
def follow_ups_of(incident: str, desk: AtDesk, _caller: Viewer) -> JSONResponse:
    found = the_incident(desk, incident)
    listed = desk.coordinator.store.notebook.follow_ups([found.id])
    return JSONResponse({"follow_ups": [follow_up_shape(each) for each in listed]})


@router.get(
    "/follow-ups",
    summary="What is still to be done after all incidents (viewer)",
    responses={200: {"model": FollowUps}, **documented()},
)
def open_follow_ups(desk: AtDesk, _caller: Viewer) -> JSONResponse:
    listed = desk.coordinator.store.notebook.open_follow_ups()
    return JSONResponse({"follow_ups": [follow_up_shape(each) for each in listed]})


@router.post(
    "/follow-ups/{number}/done",
    summary="Say that a follow-up is done (operator)",
    responses={200: {"model": FollowUpShape}, **documented(404, 422)},
)
def finish_follow_up(number: Number, desk: AtDesk, caller: Operator) -> JSONResponse:
    coordinator = desk.coordinator
    found = coordinator.store.notebook.finish(number, by=caller.name, at=coordinator.now())
    if found is None:
        listed = "`autobot-dr incident follow-up list` shows those that are open"
        raise Problem(404, "unknown-follow-up", f"there is no follow-up {number}; {listed}")
    return JSONResponse(follow_up_shape(found))
