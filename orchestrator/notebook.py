"""The port behind which people's findings and follow-ups are kept.

What lives here: the protocol with its contract. What must not: implementations (store/) and
what a review makes of it (core/review.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from orchestrator.core.lessons import About, Finding, FollowUp


class UnknownIncident(LookupError):
    """There is no such incident; nothing was written."""


class Notebook(Protocol):
    """Findings and follow-ups of incidents, for good.

    Contract, for every implementation:
    - what is written names an incident that is known, or UnknownIncident is raised;
    - the same finding of the same person, or the same follow-up while it is open, is kept once:
      a form that is sent twice gives what is there;
    - everything comes back in the order in which it was written;
    - any implementation may be called from several threads at once.
    """

    def add_finding(
        self, incident: str, about: About, text: str, *, by: str, at: float
    ) -> Finding: ...

    def findings(self, incidents: Sequence[str]) -> Sequence[Finding]:
        """Those of these incidents."""
        ...

    def add_follow_up(
        self, incident: str, text: str, *, owner: str, by: str, at: float
    ) -> FollowUp: ...

    def finish(self, number: int, *, by: str, at: float) -> FollowUp | None:
        """The follow-up, done. One that was done already stays as it is; None is unknown."""
        ...

    def follow_ups(self, incidents: Sequence[str]) -> Sequence[FollowUp]:
        """Those of these incidents."""
        ...

    def open_follow_ups(self) -> Sequence[FollowUp]:
        """Those of all incidents that are not done."""
        ...
