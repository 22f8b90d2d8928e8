"""`kind: files` in fleet.yaml: configuration, databases and repositories of a machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from orchestrator.backupkinds.common import Absolute, JobShape, OffsiteShape
from orchestrator.core.filebackups import ROOM, FilesJob, Push
from orchestrator.core.fleet import Objectives
from orchestrator.schema import Line, Name, Port, Shape

GIGABYTE = 10**9


def _pattern(given: str) -> str:
    if not given.startswith(("/", "*")):
        raise ValueError(f"must be a pattern for a whole path, not {given!r}")
    return given


class PushShape(Shape):
    """The key is on the machine that is backed up, and opens nothing but its repository."""

    user: Line
    key: Absolute
    port: Port = 22
    known_hosts: Absolute | None = None


class FilesShape(JobShape):
    kind: Literal["files"]
    machine: Name
    password_file: Absolute
    include: list[Absolute] = Field(default_factory=list)
    exclude: list[Annotated[Line, AfterValidator(_pattern)]] = Field(default_factory=list)
    sqlite: list[Absolute] = Field(default_factory=list)
    git: list[Absolute] = Field(default_factory=list)
    ollama: Line | None = None
    max_bytes: Annotated[int, Field(gt=0)] = 10 * GIGABYTE
    room: Absolute = ROOM
    push: PushShape | None = None
    offsite: OffsiteShape | None = None

    @model_validator(mode="after")
    def whole(self) -> FilesShape:
        if not (self.include or self.sqlite or self.git or self.ollama):
            raise ValueError("backs nothing up; give it `include`, `sqlite`, `git` or `ollama`")
        if self.machine != self.vault and self.push is None:
            raise ValueError("`push` is missing: how does this machine come to its vault?")
        if self.machine == self.vault and self.push:
            raise ValueError("is its own vault, so it needs no `push`; take it out")
        return self

    def job(self, name: str, objectives: Objectives) -> FilesJob:
        way = self.push
        return FilesJob(
            **self.common(name, objectives),
            machine=self.machine,
            password_file=self.password_file,
            max_bytes=self.max_bytes,
            include=tuple(self.include),
            exclude=tuple(self.exclude),
            sqlite=tuple(self.sqlite),
            git=tuple(self.git),
            ollama=self.ollama or "",
            room=self.room,
            push=Push(way.user, way.key, way.port, way.known_hosts or "") if way else None,
            offsite=self.offsite.offsite if self.offsite else None,
        )

    def references(self) -> Iterator[tuple[str, str, str]]:
        yield "machine", "machines", self.machine
        yield from super().references()
