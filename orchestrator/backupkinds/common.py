"""What all kinds of backup jobs have in fleet.yaml: where the backups are kept, when, how long.

What lives here: these shapes. What must not: any one kind, and checks across the file
(orchestrator/backupfile.py). Times of day are UTC, as all times are: a clock that is put back
must not take a backup twice.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from orchestrator.core.backups import EVERY_DAY, Job, Keep, Offsite
from orchestrator.core.fleet import Objectives
from orchestrator.schema import Line, Name, Positive, Shape

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


Absolute = Annotated[Line, AfterValidator(_absolute)]


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

    @property
    def keep(self) -> Keep:
        return Keep(self.within, self.daily, self.weekly, self.monthly)


class OffsiteShape(Shape):
    """A second restic repository, elsewhere: a path, sftp:…, s3:…"""

    repository: Line
    password_file: Absolute

    @property
    def offsite(self) -> Offsite:
        return Offsite(self.repository, self.password_file)


class JobShape(Shape):
    """A kind adds `kind`, a Literal, and what it alone has."""

    vault: Name
    folder: Absolute
    at: Annotated[float | None, BeforeValidator(_time_of_day)] = None
    days: list[Annotated[str, AfterValidator(_day)]] = Field(default_factory=list)
    every: Positive | None = None
    rpo: RpoShape | None = None
    keep: KeepShape | None = None

    @model_validator(mode="after")
    def one_schedule(self) -> JobShape:
        if self.at is not None and self.every is not None:
            raise ValueError("`at` and `every` are two schedules; keep one")
        if self.days and self.at is None:
            raise ValueError("`days` needs the time of day; add `at`")
        return self

    @abstractmethod
    def job(self, name: str, objectives: Objectives) -> Job:
        """How old its backups may become is the fleet's RPO unless it has its own."""

    def common(self, name: str, objectives: Objectives) -> dict[str, Any]:
        """What every job has."""
        own = self.rpo
        return {
            "name": name,
            "vault": self.vault,
            "folder": self.folder,
            "rpo_target_s": own.target if own else objectives.rpo_target_s,
            "rpo_maximum_s": own.maximum if own else objectives.rpo_maximum_s,
            "at_s": self.at,
            "days": frozenset(_DAYS.index(each) for each in self.days) or EVERY_DAY,
            "every_s": self.every,
            "keep": self.keep.keep if self.keep else None,
        }

    def references(self) -> Iterator[tuple[str, str, str]]:
        """Keys that name another part of the file: the key, that part's section, the name."""
        yield "vault", "machines", self.vault
