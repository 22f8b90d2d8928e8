"""Looking at the fleet, the plans and the coordinator itself over HTTP.

What lives here: routes that only read. What must not: anything that changes a run.
"""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse, PlainTextResponse

from orchestrator.coordinator import UnknownScenario
from orchestrator.web import metrics
from orchestrator.web.desk import AtDesk, Viewer
from orchestrator.web.planshape import PlanShape, plan_shape
from orchestrator.web.problems import Problem, ProblemShape, documented
from orchestrator.web.standing import standing_shape
from orchestrator.web.statusshape import StatusShape

router = APIRouter()


@router.get(
    "/api/v1/status",
    summary="The health of every service and machine, with reasons (viewer)",
    responses={200: {"model": StatusShape}, **documented()},
)
def status(desk: AtDesk, _caller: Viewer) -> JSONResponse:
    return JSONResponse(desk.board.status(desk.configuration.inventory.roles))


@router.get(
    "/api/v1/plans/{scenario}",
    summary="What a run of this scenario would do (viewer)",
    responses={200: {"model": PlanShape}, **documented(404)},
)
def plan(scenario: str, desk: AtDesk, _caller: Viewer) -> JSONResponse:
    protected = desk.coordinator.protected
    if scenario not in protected.plans:
        known = ", ".join(sorted(protected.plans))
        raise UnknownScenario(f"there is no scenario {scenario!r} (known: {known})")
    known_as = protected.scenarios[scenario]
    return JSONResponse(plan_shape(protected.plans[scenario], known_as, protected.fleet))


@router.get("/healthz", summary="The process lives")
async def healthz() -> JSONResponse:
    return JSONResponse({"alive": True})


@router.get(
    "/readyz",
    summary="Store and broker can be reached; and whether this one leads",
    responses={503: {"model": ProblemShape}},
)
def readyz(desk: AtDesk) -> JSONResponse:
    if complaints := desk.ready():
        raise Problem(503, "not-ready", "; ".join(complaints), {"Retry-After": "2"})
    return JSONResponse({"ready": True, **standing_shape(desk.standing())})


@router.get("/metrics", summary="For Prometheus (viewer)", response_class=PlainTextResponse)
def prometheus(desk: AtDesk, _caller: Viewer) -> PlainTextResponse:
    store = desk.coordinator.store
    text = metrics.text(
        store.runs(limit=metrics.NEWEST),
        pending=len(store.pending_effects()),
        ready=desk.ready(),
        picture=desk.picture(),
        lateness=desk.lateness(),
        standing=desk.standing(),
    )
    return PlainTextResponse(text, media_type=metrics.MEDIA_TYPE)
