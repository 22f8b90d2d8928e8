"""The port for the catalogue of backups. Its suite: tests/contracts/test_restore_points.py.

What lives here: the protocol. What must not: what a point is (core/restorepoints.py). The
catalogue is a convenience: each backup has its manifest beside it, and both outlive the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from orchestrator.core.restorepoints import RestorePoint


class UnknownPoint(LookupError):
    """There is no restore point of this id; nothing was started."""


class RestorePoints(Protocol):
    """What is known of each backup, for good.

    Contract, for every implementation:
    - `record` keeps one row for an id. What was reported later counts, in whichever order it
      comes; the same once more changes nothing, and the job stays the one that was told first;
    - `newest_verified` is by what a point covers, not by when it was proved again;
    - `forget` takes out those that are not there any more, and passes over those it never knew;
    - any implementation may be called from several threads at once.
    """

    def record(self, point: RestorePoint) -> None: ...

    def forget(self, points: Sequence[str]) -> None: ...

    def get(self, point: str) -> RestorePoint | None: ...

    def newest(self, *, limit: int, job: str = "") -> Sequence[RestorePoint]:
        """The newest taken first."""
        ...

    def newest_verified(self, service: str, *, job: str = "") -> RestorePoint | None: ...
