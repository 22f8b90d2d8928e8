"""Maintenance windows over HTTP.

What lives here: the routes and the shape of a window. What must not: what a window forbids
(core/policy.py).
"""

from __future__ import annotations

import secrets
from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from orchestrator.core.fleet import Fleet
from orchestrator.core.policy import Window
from orchestrator.web.desk import AtDesk, Operator, Viewer
from orchestrator.web.incidents import Limit, Reason
from orchestrator.web.problems import Problem, documented
from orchestrator.web.runs import Key
from orchestrator.web.shapes import rfc3339
from orchestrator.windows import LONGEST_SECONDS

router = APIRouter(prefix="/api/v1")


class NewWindow(BaseModel):
    """A window that begins now. `target` is a service or a machine; without it, the fleet."""

    model_config = ConfigDict(extra="forbid", strict=True)

    target: Annotated[str, Field(max_length=100)] = ""
    for_s: Annotated[float, Field(ge=1, le=LONGEST_SECONDS, allow_inf_nan=False)]
    reason: Reason


class WindowShape(TypedDict):
    """A maintenance window. Automatic recovery of `target`, empty for the fleet, is off."""

    id: str
    target: str
    starts_at: str
    ends_at: str
    by: str
    reason: str
    running: bool


class WindowsShape(TypedDict):
    windows: list[WindowShape]


def window_shape(window: Window, now: float) -> WindowShape:
    return {
        "id": window.id,
        "target": window.target,
        "starts_at": rfc3339(window.starts_at),
        "ends_at": rfc3339(window.ends_at),
        "by": window.by,
        "reason": window.reason,
        "running": window.starts_at <= now < window.ends_at,
    }


def demand_target(fleet: Fleet, target: str) -> None:
    """A window of something that is not there would protect nothing, unnoticed."""
    known = (*fleet.services, *fleet.machines)
    if target and target not in known:
        names = ", ".join(dict.fromkeys(known))
        detail = f"there is no service or machine {target!r} (known: {names})"
        raise Problem(422, "unknown-target", detail)


@router.post(
    "/maintenance",
    status_code=201,
    summary="Begin a maintenance window: no automatic recovery, watching goes on (operator)",
    responses={201: {"model": WindowShape}, **documented(413, 422)},
)
def start_window(
    wanted: NewWindow, desk: AtDesk, caller: Operator, idempotency_key: Key = None
) -> JSONResponse:
    coordinator = desk.coordinator
    demand_target(coordinator.protected.fleet, wanted.target)
    now, name = coordinator.now(), f"mw-{secrets.token_hex(6)}"
    if idempotency_key:
        key = f"{caller.name}:maintenance:{idempotency_key}"
        name = coordinator.store.run_for_key(key, name)
    window = Window(name, wanted.target, now, now + wanted.for_s, caller.name, wanted.reason)
    return JSONResponse(window_shape(coordinator.store.windows.add(window), now), 201)


@router.get(
    "/maintenance",
    summary="Maintenance windows, those that run or end last first (viewer)",
    responses={200: {"model": WindowsShape}, **documented(422)},
)
def list_windows(desk: AtDesk, _caller: Viewer, limit: Limit = 20) -> JSONResponse:
    now = desk.coordinator.now()
    found = desk.coordinator.store.windows.newest(limit)
    return JSONResponse({"windows": [window_shape(each, now) for each in found]})


@router.post(
    "/maintenance/{window}/stop",
    summary="End a maintenance window now (operator)",
    responses={200: {"model": WindowShape}, **documented(404)},
)
def stop_window(window: str, desk: AtDesk, _caller: Operator) -> JSONResponse:
    now = desk.coordinator.now()
    found = desk.coordinator.store.windows.stop(window, now)
    if found is None:
        detail = (
            f"there is no window {window!r}; `autobot-dr maintenance list` shows those there are"
        )
        raise Problem(404, "unknown-window", detail)
    return JSONResponse(window_shape(found, now))
