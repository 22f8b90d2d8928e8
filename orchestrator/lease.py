"""The lease: which of several coordinators leads, and the fence that keeps the others from writing.

What lives here: the port, its values, and the fence. What must not: when to take it and what to
do with it (leadership.py), and SQL. The contract suite: tests/contracts/test_lease.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Candidate:
    """Who would lead. `holder` is one installation's for good, the rest is for people."""

    holder: str
    name: str
    url: str


@dataclass(frozen=True, slots=True)
class Leader:
    """Who leads, as the store says. Without a holder, nobody does."""

    term: int
    holder: str
    name: str
    url: str
    left_s: float  #: until it ends, unless it is renewed; below zero, it has ended


class Lease(Protocol):
    """At most one holder at any time.

    Contract, for every implementation:
    - `take` begins a term and gives its number, higher than any before; None while another
      holder's has not ended. Whoever holds it may take it anew at once: it was started again;
    - `renew` lets the term last so long from now; False if it is not the current one any more.
      One that has ended and that nobody took is renewed like any other;
    - `give_back` ends the term now; of one that is not the current, nothing is changed;
    - the time is the store's, whichever machine asks;
    - a write of a store whose `fence` holds a term happens in that term or not at all: `take`
      waits for one that has begun, and one that begins later raises NotLeading.
    """

    def take(self, candidate: Candidate, seconds: float) -> int | None: ...

    def renew(self, term: int, seconds: float) -> bool: ...

    def give_back(self, term: int) -> None: ...

    def look(self) -> Leader: ...


class Fence:
    """In whose name a store writes: anybody's as it is opened, later one term's or nobody's."""

    NOBODY = 0  #: terms are counted from 1

    def __init__(self) -> None:
        self.term: int | None = None
        self.leader = "nobody knows who"  #: for people: who leads instead

    def hold(self, term: int) -> None:
        self.term = term

    def shut(self, leader: str = "") -> None:
        """From now on nothing is written."""
        self.term, self.leader = self.NOBODY, leader or self.leader

    def refusal(self) -> str:
        return f"this coordinator stands by, {self.leader} leads; nothing was written"
