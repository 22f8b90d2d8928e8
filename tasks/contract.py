"""The wire between coordinator and agents: orders out, reports back, readings.

What lives here: the frozen shapes and their canonical bytes. What must not: signing (signing.py),
any IO and any decision. Both ends import this file and nothing else of each other,
so a field added here is a new wire version; an end that meets a version it does not
know refuses the message instead of guessing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any, Self

WIRE_VERSION = 1

BEAT_SECONDS = 5.0  #: how often an agent lets itself be heard

#: A value that survives JSON unchanged: str, int, float, bool, None, list or dict.
Json = Any


class Outcome(StrEnum):
    """How a step ended. The set is closed; every end carries a reason beside it."""

    DONE = "done"  #: acted, and the post-condition was then read from the target
    UNCHANGED = "unchanged"  #: nothing to do, and the reason says why
    FAILED = "failed"  #: acted, and a fresh look shows the post-condition does not hold
    REFUSED = "refused"  #: not begun: late, foreign, forged, replayed, stale or forbidden
    TIMED_OUT = "timed_out"  #: acted, still not there at the deadline
    UNKNOWN = "unknown"  #: begun, and what became of it could not be read

    @property
    def succeeded(self) -> bool:
        return self in (Outcome.DONE, Outcome.UNCHANGED)


#: The unit that an agent runs as, where its machine's setting `agent_unit` names no other.
AGENT_UNIT = "autobot-dr-agent"


class Kind(StrEnum):
    """What a reading says of the service. Only bad, closed and silent may lead to a restart;
    busy, barred, chosen and unknown never do (P4)."""

    GOOD = "good"  #: answers as expected
    BAD = "bad"  #: answered, but not as the service should
    CLOSED = "closed"  #: the machine is up, and nothing listens there
    SILENT = "silent"  #: no answer in time, or not reachable from this vantage
    BUSY = "busy"  #: alive, and still loading or initialising
    BARRED = "barred"  #: alive, and does not let us in
    CHOSEN = "chosen"  #: somebody chose that it must not run
    UNKNOWN = "unknown"  #: the asking side is at fault; nothing was learned of the service


class WireError(ValueError):
    """The message is not one of ours, or of a version this end does not know."""


@dataclass(frozen=True, slots=True)
class Message:
    """A signed JSON message. The signature covers every other field, sorted."""

    signature: str = field(default="", kw_only=True)

    def canonical(self) -> bytes:
        # Not `asdict`, whose deep copies would cost more than the signature.
        body = {each.name: getattr(self, each.name) for each in fields(self)}
        del body["signature"]
        body["kind"] = type(self).__name__
        return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()

    def to_wire(self) -> dict[str, Json]:
        return asdict(self)

    @classmethod
    def from_wire(cls, message: Mapping[str, Json]) -> Self:
        """The message, or WireError naming the first thing that is wrong with it."""
        if isinstance(message, Mapping) and message.get("version") != WIRE_VERSION:
            raise WireError(
                f"{cls.__name__}: version {message.get('version')!r}, this end knows {WIRE_VERSION}"
            )
        _check_fields(cls, message)
        return cls(**message)


def _check_fields(cls: type[Any], message: Mapping[str, Json]) -> None:
    if not isinstance(message, Mapping):
        raise WireError(f"{cls.__name__}: not a mapping but {type(message).__name__}")
    known = {each.name: each for each in fields(cls)}
    if strange := sorted(set(message) - set(known), key=str):
        raise WireError(f"{cls.__name__}: unknown field {strange[0]!r}")
    for name, each in known.items():
        wanted = _WIRE_TYPES[str(each.type)]
        if name not in message:
            raise WireError(f"{cls.__name__}: field {name!r} is missing")
        value = message[name]
        if isinstance(value, bool) or not isinstance(value, wanted):
            raise WireError(f"{cls.__name__}: field {name!r} has the wrong type")
        if not _is_finite(value):
            raise WireError(f"{cls.__name__}: field {name!r} holds NaN or Infinity")


def _is_finite(value: Json) -> bool:
    """Python reads NaN and Infinity from JSON; no deadline can be compared with them."""
    if isinstance(value, dict):
        return all(_is_finite(each) for each in value.values())
    if isinstance(value, list):
        return all(_is_finite(each) for each in value)
    return not isinstance(value, float) or math.isfinite(value)


_WIRE_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "Mapping[str, Json]": (dict,),
    "Mapping[str, float]": (dict,),
    "tuple[str, ...]": (list,),
    "Sequence[Mapping[str, Json]]": (list,),
    "Kind": (str,),
}


@dataclass(frozen=True, slots=True)
class WorkOrder(Message):
    """One step, ordered from one machine's agent. Times are Unix seconds, durations seconds."""

    incident: str
    run: str  #: the Celery root task's id
    epoch: int  #: the run's number; a machine never obeys a lower one than it has seen
    rung: int
    step: int  #: counted through the rung
    attempt: int  #: from 1
    agent: str  #: the machine whose agent carries this out
    machine: str  #: the machine that is acted upon; the epoch guards this one
    service: str  #: the service acted upon, or empty
    operation: str
    arguments: Mapping[str, Json]
    not_after: float  #: an agent that has not begun by then refuses
    seconds: float  #: how long the carrying-out may last
    version: int = WIRE_VERSION

    @property
    def id(self) -> str:
        """Takes effect at most once, anywhere, ever (P3)."""
        return f"{self.incident}.{self.rung}.{self.step}.{self.attempt}"


@dataclass(frozen=True, slots=True)
class WorkReport(Message):
    """What became of one order, said by the agent that has it."""

    order: str
    incident: str
    run: str
    epoch: int
    rung: int
    step: int
    attempt: int
    agent: str
    outcome: str  #: an Outcome; kept a string here so that the wire is plain JSON
    reason: str
    detail: str  #: evidence for the timeline: a journal's tail, a list of models
    started_at: float
    ended_at: float
    version: int = WIRE_VERSION

    @classmethod
    def from_wire(cls, message: Mapping[str, Json]) -> Self:
        report = super(WorkReport, cls).from_wire(message)
        if report.outcome not in set(Outcome):
            raise WireError(f"WorkReport: outcome {report.outcome!r} is not one of the six")
        return report


@dataclass(frozen=True, slots=True)
class Progress(Message):
    """A sign of life from a long step, for people only: no decision rests on it."""

    order: str
    incident: str
    run: str
    agent: str
    text: str
    at: float
    version: int = WIRE_VERSION


@dataclass(frozen=True, slots=True)
class Headway(Message):
    """How far a long step is, for people only: the newest counts, and none is waited for."""

    order: str
    incident: str
    run: str
    rung: int
    step: int
    attempt: int
    agent: str
    what: str  #: is being done, as in "receiving the dump"
    done_bytes: int
    total_bytes: int  #: 0 where that is not known
    per_second: float  #: bytes; negative where it cannot be said yet
    left_s: float  #: negative where it cannot be said
    at: float
    version: int = WIRE_VERSION


@dataclass(frozen=True, slots=True)
class Withdrawal(Message):
    """Orders of one agent that are not to be carried out any more.

    It names them, and an order's id never comes twice: said again it changes nothing.
    """

    incident: str
    run: str
    epoch: int  #: of the run that gave them
    agent: str
    orders: tuple[str, ...]
    reason: str
    at: float
    version: int = WIRE_VERSION


@dataclass(frozen=True, slots=True)
class JobSheet(Message):
    """What one agent may do of a backup job by itself, on its own timer, with nobody there to
    order it. A later one replaces it."""

    agent: str
    job: str
    #: One after the other: number, operation, machine, service, arguments, seconds.
    steps: Sequence[Mapping[str, Json]]
    ping: str  #: who misses its success, or empty
    issued_at: float
    version: int = WIRE_VERSION


#: What an agent did by itself has a run's name of this form, with the job and the time.
ALONE = "alone"


def alone_run(job: str, at: float) -> str:
    return f"{ALONE}-{job}-{at:.3f}"


def job_of_alone(run: str) -> str:
    """The job of which the agent ran its part by itself; empty for any other run."""
    head, _, rest = run.partition("-")
    return rest.rpartition("-")[0] if head == ALONE else ""


@dataclass(frozen=True, slots=True)
class Reading:
    """A probe's question, answered or not, with where, when and how long.

    `complaints` is empty when the answer is what the check expects. `error` is set
    when there was no answer at all: then nothing is known of the service, only that
    this vantage could not reach it. `metrics` are the numbers that thresholds compare.
    """

    probe: str
    vantage: str
    asked_at: float
    latency_s: float
    answer: Mapping[str, Json] = field(default_factory=dict)
    complaints: tuple[str, ...] = ()
    error: str = ""
    kind: Kind = Kind.GOOD
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def healthy(self) -> bool:
        return not self.error and not self.complaints

    @property
    def reason(self) -> str:
        return self.error or "; ".join(self.complaints) or "answers as expected"

    def to_wire(self) -> dict[str, Json]:
        return asdict(self) | {"kind": self.kind.value, "complaints": list(self.complaints)}

    @classmethod
    def from_wire(cls, message: Mapping[str, Json]) -> Self:
        """The reading, or WireError naming the first thing that is wrong with it."""
        _check_fields(cls, message)
        if message["kind"] not in set(Kind):
            raise WireError(f"Reading: kind {message['kind']!r} is not one of the eight")
        if not all(isinstance(each, str) for each in message["complaints"]):
            raise WireError("Reading: a complaint is not text")
        if any(type(each) not in (int, float) for each in message["metrics"].values()):
            raise WireError("Reading: a metric is not a number")
        kind, complaints = Kind(message["kind"]), tuple(message["complaints"])
        reading = cls(**{**message, "kind": kind, "complaints": complaints})
        if reading.healthy != (kind is Kind.GOOD):
            raise WireError(
                f"Reading: kind {kind.value!r} contradicts its reason {reading.reason!r}"
            )
        return reading
