"""`kind: redis` in fleet.yaml: a service that is a Redis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from orchestrator.backupkinds.common import DAY, JobShape, OffsiteShape
from orchestrator.core.backups import Keep
from orchestrator.core.fleet import Objectives
from orchestrator.core.redisbackups import Continuous, RedisJob
from orchestrator.schema import Line, Name, Positive, Shape

#: How often what was captured is proved, where the job does not say it.
PROVE_EVERY = 1800.0
#: What is proved so often is not all kept: any second can be had from what was captured.
KEEP = Keep(within_s=2 * 3600.0, daily=7, weekly=4, monthly=6)


def _wanted(given: Any) -> Any:
    """`true` stands for all that can be left out, `false` for nothing."""
    return ({} if given else None) if isinstance(given, bool) else given


class ContinuousShape(Shape):
    segment: Positive = 60.0
    lag: Positive = 15.0
    window: Positive = 2 * DAY


class RedisShape(JobShape):
    kind: Literal["redis"]
    service: Name
    patterns: list[Line] = Field(default_factory=list)
    continuous: Annotated[ContinuousShape | None, BeforeValidator(_wanted)] = None
    offsite: OffsiteShape | None = None

    def job(self, name: str, objectives: Objectives) -> RedisJob:
        job = RedisJob(
            **self.common(name, objectives),
            service=self.service,
            patterns=tuple(self.patterns),
            offsite=self.offsite.offsite if self.offsite else None,
        )
        if not self.continuous:
            return job
        pace = self.continuous
        every = PROVE_EVERY if self.at is None and self.every is None else self.every
        return replace(
            job,
            continuous=Continuous(pace.segment, pace.lag, pace.window),
            every_s=every,
            keep=job.keep or KEEP,
        )

    def references(self) -> Iterator[tuple[str, str, str]]:
        yield "service", "services", self.service
        yield from super().references()
