"""Live updates: new timeline lines and changed runs as server-sent events.

What lives here: `Feed`, which finds what is new by asking the store, and its route. What must
not: state that a restart would lose; an event's id says how far its reader is, so a reader that
comes back with Last-Event-ID goes on where it was.

Three kinds of events: `entry`, a line of a run's timeline, with the id `RUN/NUMBER`; `run`, a
run without its steps, whenever its state, rung or reason changed; and `progress`, how far a step
is that is out, whenever its agent said so anew.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from threading import BoundedSemaphore
from typing import Annotated, Any

from anyio import sleep, to_thread
from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse

from orchestrator.core.incident import ENDED, WORKING, Incident
from orchestrator.core.steps import order_id
from orchestrator.ports import Store, StoreUnavailable
from orchestrator.web import shapes
from orchestrator.web.desk import AtDesk, Viewer, the_run
from orchestrator.web.problems import Problem, documented

router = APIRouter(prefix="/api/v1")

POLL_SECONDS = 0.25  #: for a reader of one run
POLL_ALL_SECONDS = 1.0
QUIET_SECONDS = 15.0  #: after so long without news a comment keeps the connection open
STREAM_SECONDS = 600.0  #: then the reader comes back; a forgotten one does not stay for ever
STREAMS = 32  #: at the same time
NEWEST = 20  #: runs that a reader of everything hears of, besides those that are unfinished

_places = BoundedSemaphore(STREAMS)


class Feed:
    """What one reader has not heard yet: of one run from its first line, or of all from now."""

    def __init__(self, store: Store, run: str, last: str) -> None:
        self._store, self._run = store, run
        self._heard: dict[str, int] = {}
        self._seen: dict[str, dict[str, Any]] = {}
        self._far: dict[str, float] = {}
        self._from_start = bool(run)
        last_run, _, number = last.rpartition("/")
        if last_run and number.isdigit():
            self._heard[last_run] = int(number) + 1

    def news(self) -> Iterator[str]:
        """Events since the last call. A run's lines come before its change of state."""
        for incident in self._runs():
            shape: dict[str, Any] = {**shapes.run_shape(incident)}
            del shape["steps"]
            changed = self._seen.get(incident.run) != shape
            if changed or incident.state not in ENDED:
                yield from self._entries(incident.run)
            if incident.state in WORKING:
                yield from self._progress(incident)
            if changed:
                self._seen[incident.run] = shape
                yield event("run", shape)
        self._from_start = True  # a run that is met for the first time from now on is a new one

    def _runs(self) -> list[Incident]:
        if self._run:
            stored = self._store.load(self._run)
            return [stored.incident] if stored else []
        newest = {each.run: each for each in self._store.runs(limit=NEWEST)}
        for run in self._store.unfinished():
            if run not in newest and (stored := self._store.load(run)):
                newest[run] = stored.incident
        return sorted(newest.values(), key=lambda each: each.epoch)

    def _entries(self, run: str) -> Iterator[str]:
        timeline = self._store.timeline(run)
        first = self._heard.get(run, 0 if self._from_start else len(timeline))
        for number, entry in enumerate(timeline[first:], first):
            yield event("entry", {"run": run, **shapes.entry_shape(entry)}, f"{run}/{number}")
        self._heard[run] = len(timeline)

    def _progress(self, incident: Incident) -> Iterator[str]:
        said = self._store.headways.of_run(incident.run)
        for step in incident.steps if said else ():
            step_id = order_id(incident, step)
            newest = said.get(step_id)
            if step.outcome or newest is None or self._far.get(step_id) == newest.at:
                continue
            self._far[step_id] = newest.at
            about = {"run": incident.run, "step": step_id}
            about |= {"operation": step.operation, "machine": step.machine}
            yield event("progress", {**about, **shapes.progress_shape(newest)})


def event(kind: str, data: Mapping[str, Any], number: str = "") -> str:
    # JSON on one line: what an agent wrote cannot end the event and begin another.
    head = f"id: {number}\n" if number else ""
    return f"{head}event: {kind}\ndata: {json.dumps(data)}\n\n"


async def stream(feed: Feed, pause: float) -> AsyncIterator[str]:
    """The feed's news until the time is up. A store that is away is waited for."""
    ends = time.monotonic() + STREAM_SECONDS
    quiet_since = time.monotonic()
    yield "retry: 1000\n\n"
    while time.monotonic() < ends:
        try:
            news = await to_thread.run_sync(lambda: "".join(feed.news()))
        except StoreUnavailable as away:
            news = f": {away}\n\n"
        if not news and time.monotonic() - quiet_since > QUIET_SECONDS:
            news = ": nothing new\n\n"
        if news:
            quiet_since = time.monotonic()
            yield news
        await sleep(pause)


async def _with_place(events: AsyncIterator[str]) -> AsyncIterator[str]:
    try:
        async for each in events:
            yield each
    finally:
        _places.release()


@router.get(
    "/events",
    summary="New timeline lines and changed runs, as server-sent events (viewer)",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}, **documented(404)},
)
def events(
    desk: AtDesk,
    _caller: Viewer,
    run: Annotated[str, Query(max_length=100)] = "",
    last_event_id: Annotated[str, Header(max_length=200)] = "",
) -> StreamingResponse:
    """With `run`: that run from its first line, or from the line after Last-Event-ID."""
    if run:
        the_run(desk, run)
    if not _places.acquire(blocking=False):
        detail = f"{STREAMS} readers follow already; try again in a minute"
        raise Problem(503, "too-many-readers", detail, {"Retry-After": "60"})
    feed = Feed(desk.coordinator.store, run, last_event_id)
    return StreamingResponse(
        _with_place(stream(feed, POLL_SECONDS if run else POLL_ALL_SECONDS)),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store"},
    )
