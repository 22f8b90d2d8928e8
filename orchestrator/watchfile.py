"""The parts of fleet.yaml that are about watching and about what may be done by itself.

What lives here: their shapes, and the way from them to the core's checks and rules. What must
not: the rest of the fleet file (fleetfile.py), and making watches of them (watches.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import ConfigDict, Field, model_validator

from orchestrator import catalog
from orchestrator.core.fleet import Approval, Check, Further
from orchestrator.core.policy import Clocks, Rules
from orchestrator.schema import Duration, Line, Name, Positive, Shape
from tasks.contract import Json


class PaceShape(Shape):
    """How often a check is asked, and how long its answer may take; left out, as for all."""

    interval: Positive | None = None
    timeout: Positive | None = None


class FurtherShape(Shape):
    """A check besides the one that decides. `from` is coordinator or a machine."""

    model_config = ConfigDict(extra="allow")
    probe: Line
    vantage: Name | None = Field(default=None, alias="from")
    interval: Positive = 60.0
    timeout: Positive = 10.0
    title: str = ""

    @property
    def arguments(self) -> dict[str, Json]:
        return dict(self.model_extra or {})


class WatchShape(Shape):
    """The watcher's pace, and how many readings decide."""

    interval: Positive = 5.0
    timeout: Positive = 3.0
    bad: Annotated[int, Field(ge=1, le=20)] = 2
    of: Annotated[int, Field(ge=1, le=20)] = 3
    good: Annotated[int, Field(ge=1, le=20)] = 2

    @model_validator(mode="after")
    def ordered(self) -> WatchShape:
        if self.bad > self.of:
            raise ValueError("wants more bad readings than it looks at; make `of` larger")
        return self


class RecoveryShape(Shape):
    """What may be done without a person."""

    attempts: Annotated[int, Field(ge=0, le=100)] = 3
    fleet_attempts: Annotated[int, Field(ge=0, le=1000)] = 10
    per: Positive = 1800.0
    backoff: Duration = 10.0
    settle: Positive = 600.0
    cut_off: Approval = Field(default=Approval.ASK, strict=False)
    clock: Clocks = Field(default=Clocks.OWN, strict=False)


def rules(shape: RecoveryShape) -> Rules:
    return Rules(
        shape.attempts,
        shape.fleet_attempts,
        shape.per,
        shape.backoff,
        shape.settle,
        shape.cut_off,
        shape.clock,
    )


def check(
    probe: str, own: Mapping[str, Json], given: Mapping[str, Json], around: Mapping[str, Json]
) -> Check:
    wanted = catalog.probe_arguments(probe) if probe in catalog.probe_names() else ()
    return Check(probe, {k: given[k] for k in wanted if k in given} | filled(own, around))


def further(
    shape: FurtherShape, machine: str, given: Mapping[str, Json], around: Mapping[str, Json]
) -> Further:
    asked = check(shape.probe, shape.arguments, given, around)
    vantage = shape.vantage or machine
    return Further(asked, vantage, shape.interval, shape.timeout, shape.title or shape.probe)


def filled(value: Json, around: Mapping[str, Json]) -> Json:
    """The value with `{address}` and `{port}` filled in, wherever they stand in it."""
    if isinstance(value, str):
        for name, given in around.items():
            value = value.replace(f"{{{name}}}", str(given))
        return value
    if isinstance(value, dict):
        return {key: filled(each, around) for key, each in value.items()}
    if isinstance(value, list):
        return [filled(each, around) for each in value]
    return value
