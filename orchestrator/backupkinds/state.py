"""`kind: state` in fleet.yaml: what the coordinator itself is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from orchestrator.backupkinds.common import Absolute, JobShape
from orchestrator.core.fleet import Objectives
from orchestrator.core.statejobs import StateJob


class StateShape(JobShape):
    kind: Literal["state"]
    home: Absolute
    #: On the control machine; where this very program is, if not given.
    program: Absolute | None = None

    def job(self, name: str, objectives: Objectives) -> StateJob:
        own = str(Path(sys.executable).with_name("autobot-dr"))
        return StateJob(
            **self.common(name, objectives), home=self.home, program=self.program or own
        )
