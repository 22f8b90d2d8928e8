"""How long each part of a recovery took, and how that stands against the objectives.

What lives here: pure arithmetic on stored moments. What must not: a moment that nobody saw; a
part whose beginning or end is not known is None.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.core.events import Entry
from orchestrator.core.incident import Incident
from orchestrator.core.steps import PICKUP_SECONDS
from orchestrator.core.told import resolution


class Verdict(StrEnum):
    """What was achieved, against an objective."""

    MET = "met"
    WITHIN = "target missed, within the maximum"
    MISSED = "missed"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds that were achieved, with the objective. None was not measured.

    `text` is what the reader must know of it: why it was not measured, or on whose word it rests.
    """

    achieved_s: float | None
    target_s: float
    maximum_s: float
    text: str = ""

    @property
    def verdict(self) -> Verdict:
        if self.achieved_s is None:
            return Verdict.NOT_MEASURED
        if self.achieved_s <= self.target_s:
            return Verdict.MET
        return Verdict.WITHIN if self.achieved_s <= self.maximum_s else Verdict.MISSED


@dataclass(frozen=True, slots=True)
class Times:
    """The moments of an incident. What a person ordered has none of failure and detection.

    With several rungs or recoveries, execution runs from the first command to the end of the
    last step, so the looks between rungs are in it.
    """

    opened_at: float
    failed_at: float | None = None  #: the first bad reading
    detected_at: float | None = None
    decided_at: float | None = None  #: the first order, or where none was: that it may begin
    effect_at: float | None = None  #: the first command on a machine
    executed_at: float | None = None  #: the end of the last step
    resolved_at: float | None = None  #: seen well from outside, or said to be

    @property
    def detection_s(self) -> float | None:
        return _between(self.failed_at, self.detected_at)

    @property
    def decision_s(self) -> float | None:
        """Also the time that a person took to say yes."""
        known = self.opened_at if self.detected_at is None else self.detected_at
        return _between(known, self.decided_at)

    @property
    def dispatch_s(self) -> float | None:
        return _between(self.decided_at, self.effect_at)

    @property
    def execution_s(self) -> float | None:
        return _between(self.effect_at, self.executed_at)

    @property
    def verification_s(self) -> float | None:
        return _between(self.executed_at, self.resolved_at)

    @property
    def total_s(self) -> float | None:
        """Recovery time achieved: from the first bad reading or the request."""
        began = self.opened_at if self.failed_at is None else self.failed_at
        return _between(began, self.resolved_at)


def _between(start: float | None, end: float | None) -> float | None:
    """Never below zero: a machine's clock may run a little behind ours."""
    return None if start is None or end is None else max(0.0, end - start)


def measure(incident: Incident, timeline: Sequence[Entry]) -> Times:
    failure, steps = incident.failure, incident.steps
    well = resolution(incident.state, timeline)
    # The first order of a chain may wait so long to be picked up: that tells when it was sent.
    sent_at = min((each.not_after for each in steps), default=None)
    begun_at = incident.begun[0] if incident.begun else None
    return Times(
        incident.opened_at,
        failure.first_bad_at if failure else None,
        failure.detected_at if failure else None,
        begun_at if sent_at is None else sent_at - PICKUP_SECONDS,
        incident.first_effect_at,
        max((each.ended_at for each in steps if each.ended_at is not None), default=None),
        well.at if well else None,
    )
