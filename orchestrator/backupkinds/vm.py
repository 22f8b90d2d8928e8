"""`kind: vm` in fleet.yaml: virtual machines, by snapshot, or by export to a share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from orchestrator.backupkinds.common import DAY, JobShape
from orchestrator.core.fleet import Objectives
from orchestrator.core.vmbackups import VmJob
from orchestrator.schema import Line, Name

#: Of a share, of a drive at the hypervisor, or of a folder there.
_PLACE = re.compile(r"//[^/]+/.+|\\\\[^\\]+\\.+|[A-Za-z]:[\\/].*|/[^/].*")
#: Once a week, and a week may fail.
TARGET, MAXIMUM = 8 * DAY, 15 * DAY


def _place(given: str) -> str:
    if not _PLACE.fullmatch(given) or ".." in re.split(r"[\\/]", given):
        raise ValueError(f"must be a share such as //nas/vm, or an absolute path, not {given!r}")
    return given.rstrip("/\\")


class VmShape(JobShape):
    kind: Literal["vm"]
    #: The control machine's agent asks the hypervisor, and nothing is kept on that machine.
    vault: Name = ""
    folder: Line = ""
    machines: Annotated[list[Name], Field(min_length=1)]
    export: Annotated[Line, AfterValidator(_place)] | None = None

    def job(self, name: str, objectives: Objectives) -> VmJob:
        return VmJob(
            **self.common(name, objectives),
            machines=tuple(dict.fromkeys(self.machines)),
            export=self.export or "",
        )

    def common(self, name: str, objectives: Objectives) -> dict[str, Any]:
        """The fleet's RPO is about data that is lost, which a snapshot a week cannot keep."""
        given = super().common(name, objectives)
        return given if self.rpo else {**given, "rpo_target_s": TARGET, "rpo_maximum_s": MAXIMUM}

    def references(self) -> Iterator[tuple[str, str, str]]:
        for each in self.machines:
            yield "machines", "machines", each
