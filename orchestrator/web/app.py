"""The coordinator's web app: the HTTP API under /api/v1, pages, process health, metrics, docs.

What lives here: putting the parts together. What must not: routes and decisions. The app shares
its process with the coordinator, whose methods any thread may call.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from orchestrator.backups import Backups
from orchestrator.config import Configuration
from orchestrator.coordinator import Coordinator
from orchestrator.core.sight import Picture
from orchestrator.schedule import Lateness
from orchestrator.web import (
    backups,
    docspage,
    events,
    incidents,
    looking,
    maintenance,
    pages,
    problems,
    restores,
    reviews,
    runs,
)
from orchestrator.web.access import Tokens
from orchestrator.web.bounds import BodyLimit
from orchestrator.web.desk import CallsOf, Desk, Ready
from orchestrator.web.status import StatusBoard

ABOUT = (
    "Brings a fleet of machines back after a failure, in the right order, and proves it. "
    "Send a bearer token with each request; errors are problem details (RFC 9457); times are "
    "RFC 3339 in UTC, durations seconds."
)


def make_web(
    coordinator: Coordinator,
    configuration: Configuration,
    tokens: Tokens,
    *,
    ready: Ready,
    picture: Callable[[], Picture | None] = lambda: None,
    calls: CallsOf = lambda _run: (),
    lateness: Callable[[], Lateness | None] = lambda: None,
) -> FastAPI:
    """The app. `ready` gives complaints about store and broker; none means ready.

    `picture` is what the watcher sees; while there is none, status looks for itself.
    """
    app = FastAPI(
        title="AutoBot DR",
        version=version("autobot-dr"),
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
    )
    board = StatusBoard(coordinator, picture)
    jobs = Backups(coordinator, configuration.inventory.backups)
    app.state.desk = Desk(
        coordinator, configuration, tokens, board, ready, calls, picture, lateness, jobs
    )
    for part in (runs, incidents, reviews, maintenance, backups, restores, looking, events, pages):
        app.include_router(part.router)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(docspage.page(app.openapi()))

    problems.install(app)
    app.add_middleware(BodyLimit)
    return app
