"""The part of fleet.yaml that is about backups: what is taken, where it is kept, and when.

What lives here: the shapes, the jobs built from them, and the faults that only the other parts
show. What must not: the rest of the fleet file (fleetfile.py) and taking a backup. Times of day
are UTC, as all times are: a clock that is put back must not take a backup twice.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from orchestrator.catalog import TaskCatalog
from orchestrator.core.backups import EVERY_DAY, Job, Keep, Kind, backup_plan
from orchestrator.core.fleet import Fleet, Objectives
from orchestrator.core.plan import Fault, Plan
from orchestrator.schema import Line, Name, Positive, Shape
from orchestrator.yamlfile import Document

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY = 86400.0


def _time_of_day(given: Any) -> Any:
    if not isinstance(given, str) or not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", given):
        raise ValueError(f'must be a time of day in UTC, as in "02:00", not {given!r}')
    return int(given[:2]) * 3600.0 + int(given[3:]) * 60.0


def _day(given: str) -> str:
    if given not in _DAYS:
        raise ValueError(f"{given!r} is not a day; use {', '.join(_DAYS)}")
    return given


def _absolute(given: str) -> str:
    if not given.startswith("/") or ".." in given.split("/"):
        raise ValueError(f"must be an absolute path, not {given!r}")
    return given.rstrip("/") or "/"


class RpoShape(Shape):
    target: Positive
    maximum: Positive

    @model_validator(mode="after")
    def ordered(self) -> RpoShape:
        if self.target > self.maximum:
            raise ValueError("the target is above the maximum; aim at less than what is accepted")
        return self


class KeepShape(Shape):
    within: Positive = 2 * DAY
    daily: Annotated[int, Field(ge=0)] = 0
    weekly: Annotated[int, Field(ge=0)] = 0
    monthly: Annotated[int, Field(ge=0)] = 0


class BackupShape(Shape):
    kind: Annotated[Kind, Field(strict=False)]
    service: Name
    vault: Name
    folder: Annotated[Line, AfterValidator(_absolute)]
    patterns: list[Line] = Field(default_factory=list)
    at: Annotated[float | None, BeforeValidator(_time_of_day)] = None
    days: list[Annotated[str, AfterValidator(_day)]] = Field(default_factory=list)
    every: Positive | None = None
    rpo: RpoShape | None = None
    keep: KeepShape | None = None

    @model_validator(mode="after")
    def one_schedule(self) -> BackupShape:
        if self.at is not None and self.every is not None:
            raise ValueError("`at` and `every` are two schedules; keep one")
        if self.days and self.at is None:
            raise ValueError("`days` needs the time of day; add `at`")
        return self


def jobs(shapes: Mapping[str, BackupShape], objectives: Objectives) -> dict[str, Job]:
    """The jobs; how old their backups may become is the fleet's RPO unless they have their own."""
    return {name: _job(name, each, objectives) for name, each in shapes.items()}


def _job(name: str, shape: BackupShape, objectives: Objectives) -> Job:
    own = shape.rpo
    keep = shape.keep
    days = frozenset(_DAYS.index(each) for each in shape.days)
    return Job(
        name,
        shape.kind,
        shape.service,
        shape.vault,
        shape.folder,
        own.target if own else objectives.rpo_target_s,
        own.maximum if own else objectives.rpo_maximum_s,
        tuple(shape.patterns),
        shape.at,
        days or EVERY_DAY,
        shape.every,
        Keep(keep.within, keep.daily, keep.weekly, keep.monthly) if keep else None,
    )


def reference_faults(
    document: Document,
    shapes: Mapping[str, BackupShape],
    machines: Collection[str],
    services: Collection[str],
) -> Iterator[Fault]:
    """Services and machines that are not there, and folders that two jobs would share."""
    seen: dict[tuple[str, str], str] = {}
    for name, each in shapes.items():
        for key, known in (("service", services), ("vault", machines)):
            value = getattr(each, key)
            if value not in known:
                kind = "service" if key == "service" else "machine"
                names = ", ".join(known) or "none"
                message = f"{value!r} is not a {kind} here (known: {names})"
                yield document.fault(("backups", name, key), message)
        first = seen.setdefault((each.vault, each.folder), name)
        if first != name:
            message = f"{each.folder} on {each.vault} is the folder of {first!r} too"
            place = ("backups", name, "folder")
            yield document.fault(place, f"{message}; give each its own")


def plan_faults(document: Document, found: Mapping[str, Job], fleet: Fleet) -> Iterator[Fault]:
    """What keeps a job from having a plan, such as a service without a port of its own."""
    for name, job in found.items():
        planned = backup_plan(job, fleet, TaskCatalog())
        if not isinstance(planned, Plan):
            for each in planned:
                yield document.fault(("backups", name), each.message)


def warnings(document: Document, found: Mapping[str, Job]) -> Iterator[Fault]:
    """Schedules that cannot keep what is asked of them."""
    for name, job in found.items():
        longest = _between(job)
        if longest is not None and longest > job.rpo_target_s:
            message = (
                f"there are up to {longest / 3600:g} h between two backups, and the RPO target is "
                f"{job.rpo_target_s / 3600:g} h; back up more often, or give the job its own `rpo`"
            )
            yield document.fault(("backups", name), message)


def _between(job: Job) -> float | None:
    """The longest time between two slots; None without a schedule."""
    if job.every_s is not None or job.at_s is None:
        return job.every_s
    days = sorted(job.days)
    gaps = [(after - day - 1) % 7 + 1 for day, after in zip(days, days[1:] + days[:1], strict=True)]
    return max(gaps) * DAY
