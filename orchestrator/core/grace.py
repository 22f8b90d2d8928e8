"""How long a start may take, learned from those there were.

What lives here: `grace`, and noticing starts. What must not: where they are kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from orchestrator.core.sight import Start
from tasks.contract import Reading

REMEMBERED = 50  #: starts of a service that are learned from
QUANTILE = 0.99


def grace(floor_s: float, took_s: Sequence[float]) -> float:
    """The time that 99 of 100 past starts stayed below, but no less than what is configured."""
    if not took_s:
        return floor_s
    ordered = sorted(took_s[-REMEMBERED:])
    return max(floor_s, ordered[math.ceil(QUANTILE * len(ordered)) - 1])


def noticed(before: Start | None, unit: Reading) -> Start | None:
    """The start that a unit's reading tells of: a new invocation is a new start.

    The first one that is met may be old; the unit says how long it has been active.
    """
    invocation = str(unit.answer.get("invocation") or "")
    if not invocation:
        return before
    if before is not None and before.invocation == invocation:
        return before
    age = unit.metrics.get("active_for_s", 0.0)
    return Start(invocation, unit.asked_at - age, healthy=False)
