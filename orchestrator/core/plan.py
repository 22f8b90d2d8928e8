"""A recovery plan: which steps, on which machine, after what, by when.

What lives here: the plan's shape, and what planning needs to know of operations. What must
not: making one (compiling.py) and any particular operation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from orchestrator.core.fleet import APPROVAL_SECONDS, Approval
from tasks.contract import Json


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong in a configuration: where, what, and what to do about it."""

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


@dataclass(frozen=True, slots=True)
class OperationSpec:
    """What planning needs to know of an operation."""

    arguments: tuple[str, ...]
    seconds: float
    only_looks: bool
    from_control: bool
    ends: str = ""  #: "unit" (the one it names) or "machine", if only for a while
    returns: bool = False  #: what it ends comes back without whoever ordered that


class Catalog(Protocol):
    """The operations there are."""

    def names(self) -> tuple[str, ...]: ...

    def spec(self, operation: str) -> OperationSpec | None: ...

    def faults(self, operation: str, arguments: Mapping[str, Json]) -> tuple[str, ...]:
        """What is wrong with these arguments, a sentence each."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """One use of an operation, bound to this fleet. Numbered through its rung."""

    number: int
    operation: str
    agent: str  #: the machine whose agent carries it out
    machine: str  #: the machine acted upon
    service: str
    arguments: Mapping[str, Json]
    seconds: float


@dataclass(frozen=True, slots=True)
class Branch:
    """Steps one after another, then a check from outside. One Celery chain."""

    name: str
    steps: tuple[Step, ...]
    checks: tuple[str, ...]  #: the services to look at from outside after the steps
    required: tuple[str, ...]  #: those of them that must be healthy for the branch to pass
    check_seconds: float
    optional: bool = False  #: its failure is noted and holds up only what needs it
    needs: tuple[int, ...] = ()  #: branches of this rung that must have passed before it starts
    awaits: tuple[int, ...] = ()  #: those that must have ended before it starts, however
    wave: int = 0  #: its level by needs, for people to read by; nothing waits for a wave


@dataclass(frozen=True, slots=True)
class PlannedRung:
    """Branches, each after those that it needs or awaits; they run as soon as they may."""

    title: str
    approval: Approval
    branches: tuple[Branch, ...]
    within_s: float = APPROVAL_SECONDS  #: how long a yes is waited for
    ask_after: tuple[str, ...] = ()  #: where one of these operations failed before, a yes is needed

    @property
    def waves(self) -> tuple[tuple[Branch, ...], ...]:
        """The branches by level, for people to read."""
        levels = range(max((each.wave for each in self.branches), default=-1) + 1)
        return tuple(tuple(e for e in self.branches if e.wave == level) for level in levels)


@dataclass(frozen=True, slots=True)
class Plan:
    """A recovery plan: a scenario's ladder, compiled for one fleet."""

    scenario: str
    rungs: tuple[PlannedRung, ...]
    #: Whether its failure calls people one after the other; else the first of them is told.
    urgent: bool = True

    def branch(self, rung: int, branch: int) -> Branch:
        return self.rungs[rung].branches[branch]

    def has(self, rung: int, branch: int) -> bool:
        return 0 <= rung < len(self.rungs) and 0 <= branch < len(self.rungs[rung].branches)
