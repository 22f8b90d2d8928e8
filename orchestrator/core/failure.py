"""What the watcher found to have failed: the value that an incident carries.

What lives here: frozen values. What must not: finding it (picture.py, detection.py) and what
follows (advance.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from orchestrator.core.health import Health


class Severity(StrEnum):
    """Whom it concerns."""

    CRITICAL = "critical"  #: users are without it; people are called level by level
    WARNING = "warning"  #: users are served, perhaps worse; the first level is told, no further


@dataclass(frozen=True, slots=True)
class Failure:
    """One cause with what follows from it, as it is seen now. Times are Unix seconds."""

    cause: str  #: its key: service:redis, numbers:redis, load:ai, fleet, vantage, own/broker
    services: tuple[str, ...]  #: those that failed; the first names the incident
    machine: str
    health: Health
    severity: Severity
    reason: str
    first_bad_at: float  #: the first bad reading
    detected_at: float
    scenario: str = ""  #: the one that cures it; empty where nothing but a person does
    consequences: tuple[str, ...] = ()  #: what is ill because of it, each with its reason
    fallback: str = ""  #: what serves users meanwhile, if that was verified

    @property
    def budget(self) -> str:
        """Whose budget its recoveries come from: that of all at once is nobody's alone."""
        return self.services[0] if len(self.services) == 1 else self.cause
