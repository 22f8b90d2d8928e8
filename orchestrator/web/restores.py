"""Restores of keys, a look before a restore, and undoing one, over HTTP.

What lives here: the routes. What must not: what speaks against them (orchestrator/restores.py).
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, Field

from orchestrator.restores import Restores
from orchestrator.web.backups import RUN, Why, begun, demand_broker, key_of, reason_of
from orchestrator.web.desk import AtDesk, Operator
from orchestrator.web.runs import Key

router = APIRouter(prefix="/api/v1")


def _one_line(given: str) -> str:
    if not given.isprintable():
        raise ValueError("must be printable, and one line")
    return given


class Keys(Why):
    """Which keys, as Redis's KEYS has it; `dry_run` counts them and changes nothing."""

    pattern: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_one_line)]
    dry_run: bool = False


@router.post(
    "/restore-points/{point}/keys",
    status_code=201,
    summary="Put its keys that match into the live service; what they replace is kept (operator)",
    responses=RUN,
)
def restore_keys(
    point: str, keys: Keys, desk: AtDesk, caller: Operator, idempotency_key: Key = None
) -> JSONResponse:
    demand_broker(desk)
    key = key_of(caller, idempotency_key, f"keys:{point}:{keys.pattern}:{keys.dry_run}")
    restores = Restores(desk.backups)
    why = reason_of(keys, caller)
    return begun(restores.keys(point, keys.pattern, dry_run=keys.dry_run, reason=why, key=key))


@router.post(
    "/restore-points/{point}/rehearse",
    status_code=201,
    summary="What restoring it would replace, and how long it takes; changes nothing (operator)",
    responses=RUN,
)
def rehearse(
    point: str, why: Why, desk: AtDesk, caller: Operator, idempotency_key: Key = None
) -> JSONResponse:
    demand_broker(desk)
    key = key_of(caller, idempotency_key, f"rehearse:{point}")
    restores = Restores(desk.backups)
    return begun(restores.rehearse(point, reason=reason_of(why, caller), key=key))


@router.post(
    "/restores/{which}/undo",
    status_code=201,
    summary="Put back what a restore kept, by its run or its restore point (operator)",
    responses=RUN,
)
def undo(
    which: str, why: Why, desk: AtDesk, caller: Operator, idempotency_key: Key = None
) -> JSONResponse:
    demand_broker(desk)
    key = key_of(caller, idempotency_key, f"undo:{which}")
    restores = Restores(desk.backups)
    return begun(restores.undo(which, reason=reason_of(why, caller), key=key))
