"""`kind: redis` in fleet.yaml: a service that is a Redis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from orchestrator.backupkinds.common import JobShape, OffsiteShape
from orchestrator.core.fleet import Objectives
from orchestrator.core.redisbackups import RedisJob
from orchestrator.schema import Line, Name


class RedisShape(JobShape):
    kind: Literal["redis"]
    service: Name
    patterns: list[Line] = Field(default_factory=list)
    offsite: OffsiteShape | None = None

    def job(self, name: str, objectives: Objectives) -> RedisJob:
        return RedisJob(
            **self.common(name, objectives),
            service=self.service,
            patterns=tuple(self.patterns),
            offsite=self.offsite.offsite if self.offsite else None,
        )

    def references(self) -> Iterator[tuple[str, str, str]]:
        yield "service", "services", self.service
        yield from super().references()
