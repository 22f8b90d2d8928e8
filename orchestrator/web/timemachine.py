"""Any second of a Redis that is captured, over HTTP.

What lives here: the routes. What must not: what speaks against a second (orchestrator/backups.py,
and the vault itself, which alone knows what it has).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from pydantic import AwareDatetime, Field

from orchestrator.web import backupshape
from orchestrator.web.backups import RUN, Why, begun, demand_broker, key_of, reason_of
from orchestrator.web.desk import AtDesk, Operator, Viewer
from orchestrator.web.problems import documented
from orchestrator.web.runs import Key

router = APIRouter(prefix="/api/v1")

#: `last` is all that was captured: what one wants when Redis and its disk are lost.
At = Annotated[AwareDatetime, Field(strict=False)] | Literal["last"]


class WhyThen(Why):
    """The second, and the reason."""

    at: At

    @property
    def second(self) -> int | None:
        return _second(self.at)


def _second(at: datetime | str) -> int | None:
    return int(at.astimezone(UTC).timestamp()) if isinstance(at, datetime) else None


@router.get(
    "/backups/{job}/at",
    summary="What restoring this second would do; nothing is done (viewer)",
    responses={200: {"model": backupshape.RestoreAtPlanShape}, **documented(404, 409, 422)},
)
def plan_at(job: str, desk: AtDesk, _caller: Viewer, at: Annotated[At, Query()]) -> JSONResponse:
    fleet = desk.coordinator.protected.fleet
    wanted = desk.backups.continuous(job, _second(at))
    plan = desk.backups.plan_at(job, _second(at))
    means = wanted.restore_means(fleet)
    return JSONResponse(backupshape.restore_at_plan_shape(wanted, _second(at), means, plan, fleet))


@router.post(
    "/backups/{job}/covers",
    status_code=201,
    summary="See on the vault what would be loaded for this second; changes nothing (operator)",
    responses=RUN,
)
def covers(
    job: str, why: WhyThen, desk: AtDesk, caller: Operator, idempotency_key: Key = None
) -> JSONResponse:
    demand_broker(desk)
    key = key_of(caller, idempotency_key, f"covers:{job}:{why.second}")
    return begun(desk.backups.covers(job, why.second, reason=reason_of(why, caller), key=key))


@router.post(
    "/backups/{job}/restore",
    status_code=201,
    summary="Have the service as it was after this second; what it has is kept (operator)",
    responses=RUN,
)
def restore_at(
    job: str, why: WhyThen, desk: AtDesk, caller: Operator, idempotency_key: Key = None
) -> JSONResponse:
    demand_broker(desk)
    key = key_of(caller, idempotency_key, f"restore:{job}:{why.second}")
    return begun(desk.backups.restore_at(job, why.second, reason=reason_of(why, caller), key=key))
