"""The wire of watching: what an agent is to ask, and the beat in which it answers.

What lives here: the two signed messages and their lines. What must not: when a probe is asked
(workers/sentry.py), and what a reading means for a service (orchestrator/core).

A beat is an agent's sign of life and carries its readings. It names the list that the agent
holds, so that the coordinator, who remembers nothing of it, sends the list to an agent that
lost it and to no other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Self

from tasks.contract import WIRE_VERSION, Json, Message, Reading, WireError


@dataclass(frozen=True, slots=True)
class WatchLine:
    """One line of a watch list: a question that is asked again and again."""

    name: str  #: the watch's, unique in the fleet
    probe: str
    arguments: Mapping[str, Json]
    interval_s: float
    timeout_s: float

    def to_wire(self) -> dict[str, Json]:
        return asdict(self)

    @classmethod
    def from_wire(cls, line: Mapping[str, Json]) -> Self:
        """The line, or WireError naming what is wrong with it."""
        if not isinstance(line, Mapping) or set(line) != set(_LINE_TYPES):
            raise WireError(f"WatchLine: a line has {', '.join(_LINE_TYPES)} and nothing else")
        for name, kinds in _LINE_TYPES.items():
            if isinstance(line[name], bool) or not isinstance(line[name], kinds):
                raise WireError(f"WatchLine: {name!r} has the wrong type")
        if line["interval_s"] <= 0 or line["timeout_s"] <= 0:
            raise WireError(f"WatchLine: the times of {line['name']!r} must be above zero")
        return cls(**line)


_LINE_TYPES: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "probe": (str,),
    "arguments": (dict,),
    "interval_s": (int, float),
    "timeout_s": (int, float),
}


@dataclass(frozen=True, slots=True)
class WatchList(Message):
    """All that one machine's agent is to ask, from the coordinator."""

    agent: str  #: the machine whose agent it is for
    issued_at: float  #: an agent never takes one older than the one it holds
    watches: Sequence[Mapping[str, Json]]
    version: int = WIRE_VERSION

    @classmethod
    def from_wire(cls, message: Mapping[str, Json]) -> Self:
        watch_list = super(WatchList, cls).from_wire(message)
        names = [each.name for each in watch_list.lines()]
        if len(set(names)) < len(names):
            raise WireError("WatchList: a name is there twice")
        return watch_list

    def lines(self) -> tuple[WatchLine, ...]:
        return tuple(WatchLine.from_wire(each) for each in self.watches)

    @property
    def digest(self) -> str:
        """Says what is asked, whenever that was issued."""
        text = json.dumps([self.agent, list(self.watches)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Beat(Message):
    """An agent lives, and this is what it saw since its last beat."""

    agent: str
    boot: str  #: drawn by each agent process for itself
    number: int  #: counted through that process's life, so that a beat is heard once
    at: float
    list_digest: str  #: of the list it holds; empty without one
    list_issued_at: float  #: 0 without one
    readings: Mapping[str, Json]  #: the newest of each watch, by its name
    version: int = WIRE_VERSION

    def taken(self) -> dict[str, Reading]:
        """The readings, or WireError."""
        return {name: Reading.from_wire(each) for name, each in self.readings.items()}
