"""What every route needs at hand, and the check of who is asking.

What lives here: the desk (coordinator, tokens, status board) and the role dependencies. What
must not: routes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from orchestrator.backups import Backups
from orchestrator.config import Configuration
from orchestrator.coordinator import Coordinator
from orchestrator.core.incident import Incident
from orchestrator.core.review import Called
from orchestrator.core.sight import Picture
from orchestrator.leadership import Standing
from orchestrator.notebook import UnknownIncident
from orchestrator.schedule import Lateness
from orchestrator.web.access import Caller, Role, Tokens, caller_of
from orchestrator.web.problems import Problem, stands_by
from orchestrator.web.status import StatusBoard

#: Complaints about what the coordinator needs (store, broker); none means ready.
Ready = Callable[[], list[str]]

#: Who was told or called for a run.
CallsOf = Callable[[str], Sequence[Called]]


SAFE = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Desk:
    """One per app."""

    coordinator: Coordinator
    configuration: Configuration
    tokens: Tokens
    board: StatusBoard
    ready: Ready
    calls: CallsOf
    picture: Callable[[], Picture | None]
    lateness: Callable[[], Lateness | None]
    backups: Backups
    standing: Callable[[], Standing]


async def desk_of(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


AtDesk = Annotated[Desk, Depends(desk_of)]


def _caller_with(role: Role) -> Callable[..., object]:
    # Asynchronous, because FastAPI would take a thread for each plain dependency.
    async def authenticated(request: Request, desk: AtDesk) -> Caller:
        caller = caller_of(desk.tokens, request.headers.get("authorization"))
        if caller is None:
            detail = "no valid bearer token came with the request; `autobot-dr init` writes one"
            raise Problem(401, "unauthorized", detail, {"WWW-Authenticate": "Bearer"})
        if not caller.role.includes(role):
            detail = f"{caller.name} is {caller.role}; this needs a token of role {role}"
            raise Problem(403, "forbidden", detail)
        if request.method not in SAFE and (elsewhere := why_not_here(desk)):
            raise stands_by(elsewhere)
        return caller

    return authenticated


def why_not_here(desk: Desk) -> str:
    """Only the leader changes anything; who stands by names it."""
    standing = desk.standing()
    if standing.role == "leader":
        return ""
    return f"{standing.name} stands by, {standing.of_leader()}; nothing was changed"


Viewer = Annotated[Caller, Depends(_caller_with(Role.VIEWER))]
Operator = Annotated[Caller, Depends(_caller_with(Role.OPERATOR))]


def the_run(desk: Desk, run: str) -> Incident:
    """The run of this id, or the problem that there is none."""
    stored = desk.coordinator.store.load(run)
    if stored is None:
        detail = f"there is no run {run!r}; `autobot-dr run list` shows those there are"
        raise Problem(404, "unknown-run", detail)
    return stored.incident


def the_incident(desk: Desk, incident: str) -> Incident:
    """The incident of this id, or UnknownIncident."""
    store = desk.coordinator.store
    run = store.run_of_incident(incident)
    stored = store.load(run) if run is not None else None
    if stored is None:
        raise UnknownIncident(incident)
    return stored.incident
