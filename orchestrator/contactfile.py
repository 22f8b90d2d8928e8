"""The parts of fleet.yaml that are about people: who is called, and who misses us.

What lives here: their shapes and values. What must not: the rest of the fleet file
(fleetfile.py), and whether a contact can be called (contactcheck.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BeforeValidator

from orchestrator.core.escalation import Contact
from orchestrator.schema import Duration, Line, Positive, Shape, Url


class ContactShape(Shape):
    role: Line
    after: Duration
    reach: Line | None = None

    @property
    def contact(self) -> Contact:
        return Contact(self.role, self.after, self.reach or "")


NOBODY = "nobody"  #: written in place of the contacts by who wants nobody to be called


def _nobody(given: Any) -> Any:
    """An empty list could be an oversight; a word cannot."""
    if given == NOBODY:
        return []
    if given == []:
        raise ValueError(f"is empty; name who to call, or write `contacts: {NOBODY}`")
    if isinstance(given, str):
        raise ValueError(f"must be a list of contacts, or the word {NOBODY}, not {given!r}")
    return given


Contacts = Annotated[list[ContactShape], BeforeValidator(_nobody)]


class DeadManShape(Shape):
    """Who is told regularly that all is well, and raises the alarm when that stops."""

    url: Url
    every: Positive = 60.0


@dataclass(frozen=True, slots=True)
class DeadMan:
    """What is asked for how often, as long as all is well. The URL is a secret."""

    url: str = field(repr=False)
    every_s: float
