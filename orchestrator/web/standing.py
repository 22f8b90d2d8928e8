"""Whether the coordinator that answers leads, as programs see it.

What lives here: the shape. What must not: who leads (orchestrator/leadership.py).
"""

from __future__ import annotations

from typing_extensions import TypedDict

from orchestrator.leadership import Standing


class StandingShape(TypedDict):
    """The coordinator that answers: `role` is leader or standby, `leader` who leads."""

    name: str
    role: str
    leader: str | None
    leader_url: str | None
    complaint: str | None


def standing_shape(standing: Standing) -> StandingShape:
    return {
        "name": standing.name,
        "role": standing.role,
        "leader": standing.leader or None,
        "leader_url": standing.leader_url or None,
        "complaint": standing.complaint or None,
    }
