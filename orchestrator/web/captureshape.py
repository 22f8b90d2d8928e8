"""What programs see of a Redis that is captured continuously.

What lives here: the shape, and making it of the watch of a capture. What must not: FastAPI.
"""

from __future__ import annotations

from typing_extensions import TypedDict

from orchestrator.core.health import CAPTURES, Standing
from orchestrator.core.redisbackups import RedisJob
from orchestrator.core.sight import Picture
from orchestrator.web.shapes import maybe, rfc3339


class RangeShape(TypedDict):
    """A stretch without a gap. The newest grows; between two nothing was heard of the source."""

    history: str
    covers_from: str
    covers_until: str


class CaptureShape(TypedDict):
    """A capture as the vault's agent saw it last. Nothing is known where `state` is empty."""

    job: str
    service: str
    vault: str
    folder: str
    health: str
    reason: str
    state: str
    lag_seconds: float | None
    lag_bytes: int | None
    history: str
    covers_until: str | None
    ranges: list[RangeShape]
    verified_until: str | None
    verified_backup: str
    last_fault: str
    last_fault_at: str | None
    asked_at: str | None


def capture_shape(job: RedisJob, picture: Picture | None) -> CaptureShape:
    standing = (picture.own if picture else {}).get(f"{CAPTURES}{job.name}") or Standing("")
    last = standing.last
    said = dict(last.answer) if last else {}
    until = said.get("covers_until")
    ranges = [
        RangeShape(history=name, covers_from=rfc3339(begins), covers_until=rfc3339(ends))
        for name, begins, ends in said.get("ranges", [])
    ]
    if ranges and until is not None and ranges[-1]["history"] == said.get("history"):
        ranges[-1]["covers_until"] = rfc3339(until)
    return {
        "job": job.name,
        "service": job.service,
        "vault": job.vault,
        "folder": job.captured,
        "health": standing.health.value,
        "reason": standing.reason,
        "state": said.get("state", ""),
        "lag_seconds": said.get("lag_seconds"),
        "lag_bytes": said.get("lag_bytes"),
        "history": said.get("history", ""),
        "covers_until": maybe(until),
        "ranges": ranges,
        "verified_until": maybe(said.get("verified_until")),
        "verified_backup": said.get("verified_backup", ""),
        "last_fault": said.get("last_fault", ""),
        "last_fault_at": maybe(said.get("last_fault_at")),
        "asked_at": maybe(last.asked_at if last else None),
    }
