"""What people write after an incident: its root cause, lessons, and what is still to be done.

What lives here: the values. What must not: what the machines said (review.py puts both
together) and where they are kept (orchestrator/notebook.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class About(StrEnum):
    """What a finding is about."""

    ROOT_CAUSE = "root_cause"  #: the newest holds; the earlier ones stay to be read
    LESSON = "lesson"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a person wrote into a review."""

    number: int
    incident: str
    about: About
    text: str
    by: str
    at: float


@dataclass(frozen=True, slots=True)
class FollowUp:
    """Something to be done after an incident; listed until it is."""

    number: int
    incident: str
    text: str
    owner: str  #: empty while nobody has it
    by: str
    at: float
    done_at: float | None = None
    done_by: str = ""

    @property
    def open(self) -> bool:
        return self.done_at is None


def still_open(findings: tuple[Finding, ...], follow_ups: tuple[FollowUp, ...]) -> tuple[str, ...]:
    """What is missing in a review, in words; nothing when it is complete."""
    missing = []
    if not any(each.about is About.ROOT_CAUSE for each in findings):
        missing.append("root cause not written")
    if left := sum(each.open for each in follow_ups):
        missing.append(f"{left} follow-up{'' if left == 1 else 's'} open")
    return tuple(missing)
