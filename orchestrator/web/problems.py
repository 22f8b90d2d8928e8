"""Errors as problem details (RFC 9457): one sentence saying what, where and what to do.

What lives here: the way from every error to its answer. What must not: the inside of an
unexpected error; that goes to the log.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from typing_extensions import TypedDict

from orchestrator.backups import BackupRefused, UnknownJob
from orchestrator.coordinator import UnknownRun, UnknownScenario
from orchestrator.core.incident import IllegalMove
from orchestrator.notebook import UnknownIncident
from orchestrator.ports import NotLeading, StoreUnavailable
from orchestrator.restorepoints import UnknownPoint

log = logging.getLogger("autobot_dr.web")

KIND = "urn:autobot-dr:problem:"


class ProblemShape(TypedDict):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str


class Problem(Exception):
    """A request that cannot be answered as asked; the answer says why."""

    def __init__(
        self, status: int, kind: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail, self.headers = status, kind, detail, headers

    def answer(self) -> Response:
        content: ProblemShape = {
            "type": KIND + self.kind,
            "title": self.kind.replace("-", " ").capitalize(),
            "status": self.status,
            "detail": self.detail,
        }
        return JSONResponse(
            content, self.status, self.headers, media_type="application/problem+json"
        )


def stands_by(detail: str) -> Problem:
    return Problem(503, "standby", detail, {"Retry-After": "2"})


def problem_of(error: Exception) -> Problem:
    """The answer to any error."""
    match error:
        case Problem():
            return error
        case UnknownScenario():
            return Problem(404, "unknown-scenario", f"{error}; `autobot-dr validate` checks them")
        case UnknownRun():
            return Problem(404, "unknown-run", str(error.args[0]))
        case UnknownIncident():
            said = f"there is no incident {error.args[0]!r}"
            detail = f"{said}; `autobot-dr incident list` shows the newest"
            return Problem(404, "unknown-incident", detail)
        case UnknownJob():
            return Problem(404, "unknown-job", str(error.args[0]))
        case UnknownPoint():
            return Problem(404, "unknown-restore-point", str(error.args[0]))
        case BackupRefused():
            return Problem(409, "backup-refused", f"{error}; nothing was started")
        case IllegalMove():
            return Problem(409, "illegal-move", f"{error}; nothing was changed")
        case NotLeading():
            return stands_by(str(error))
        case StoreUnavailable():
            detail = f"{error}; nothing was started, try again in a few seconds"
            return Problem(503, "store-unavailable", detail, {"Retry-After": "2"})
        case RequestValidationError():
            return _not_understood(error)
        case HTTPException():
            return _http(error)
        case _:
            detail = "the coordinator met an error of its own; its log says more, report it"
            return Problem(500, "internal-error", detail)


def _not_understood(error: RequestValidationError) -> Problem:
    """All that is wrong with a request, in one sentence."""
    faults = []
    for each in error.errors():
        place = ".".join(str(part) for part in each["loc"])
        if each["type"] == "json_invalid":
            detail = f"the body is not JSON ({each['ctx']['error']}); send a JSON object"
            return Problem(400, "broken-json", detail)
        faults.append(f"{place}: {each['msg'][:1].lower()}{each['msg'][1:]}")
    detail = f"the request is not understood: {'; '.join(faults)}; /docs shows what is"
    return Problem(422, "not-understood", detail)


def _http(error: HTTPException) -> Problem:
    if error.status_code == 404:
        return Problem(404, "not-found", "there is nothing at this path; /docs shows what there is")
    if error.status_code == 400:
        return Problem(400, "broken-json", "the body is not JSON text; send a JSON object")
    if error.status_code == 405:
        detail = "this path does not answer to this method; /docs shows which"
        return Problem(405, "method-not-allowed", detail, error.headers)
    return Problem(error.status_code, "refused", str(error.detail), error.headers)


def install(app: FastAPI) -> None:
    """Every error leaves the app as a problem."""

    def answer(request: Request, error: Exception) -> Response:
        problem = problem_of(error)
        if problem.status == 500:
            log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return problem.answer()

    for kind in (
        *(Problem, UnknownScenario, UnknownRun, UnknownIncident, IllegalMove),
        *(UnknownJob, UnknownPoint, BackupRefused),
        *(StoreUnavailable, RequestValidationError, HTTPException, Exception),
    ):
        app.add_exception_handler(kind, answer)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For /docs: these statuses answer with a problem."""
    return {each: {"model": ProblemShape} for each in (401, 403, 503, *statuses)}
