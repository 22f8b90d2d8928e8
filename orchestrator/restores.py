"""Restores beside that of a whole backup: keys alone, a look before, and the way back.

What lives here: from a request to a plan that the coordinator carries out. What must not: the
plans (core/redisrestores.py), and the restore of a whole backup (backups.py).
"""

from __future__ import annotations

from orchestrator.backups import BackupRefused, Backups
from orchestrator.catalog import TaskCatalog
from orchestrator.core.incident import Incident
from orchestrator.core.redisrestores import (
    Restored,
    keys_plan,
    rehearse_plan,
    restored_by,
    undo_plan,
)
from orchestrator.core.restorepoints import PointState, RestorePoint
from orchestrator.restorepoints import UnknownPoint

#: So many runs are looked through for the one that restored a backup.
LOOKED_AT = 1000


class Restores:
    """One per request; it keeps nothing."""

    def __init__(self, backups: Backups) -> None:
        self._backups = backups
        self._fleet = backups.coordinator.protected.fleet

    def keys(
        self, point: str, pattern: str, *, dry_run: bool, reason: str, key: str = ""
    ) -> Incident:
        found = self._redis(point)
        if found.state is not PointState.VERIFIED:
            raise BackupRefused(
                f"{point} is {found.state}; only a verified one is restored, "
                f"`autobot-dr backup verify {point}` proves it"
            )
        plan = keys_plan(found, pattern, self._fleet, TaskCatalog(), dry_run=dry_run)
        return self._backups.begin(plan, reason, "", key)

    def rehearse(self, point: str, *, reason: str, key: str = "") -> Incident:
        plan = rehearse_plan(self._redis(point), self._fleet, TaskCatalog())
        return self._backups.begin(plan, reason, "", key)

    def undo(self, which: str, *, reason: str, key: str = "") -> Incident:
        plan = undo_plan(self.restored(which), self._fleet, TaskCatalog())
        return self._backups.begin(plan, reason, "", key)

    def restored(self, which: str) -> Restored:
        """What this run restored, or the newest run that restored this backup."""
        store = self._backups.coordinator.store
        if stored := store.load(which):
            found = restored_by(stored.incident)
            if found is None:
                raise BackupRefused(f"run {which} has restored nothing")
            return self._known(found)
        for each in store.runs(limit=LOOKED_AT):
            found = restored_by(each)
            if found and found.id == which:
                return self._known(found)
        raise UnknownPoint(f"no run has restored {which!r}; `autobot-dr run list` shows the runs")

    def _known(self, found: Restored) -> Restored:
        if found.service not in self._fleet.services:
            raise BackupRefused(f"{found.service!r} is not in fleet.yaml any more")
        return found

    def _redis(self, point: str) -> RestorePoint:
        found = self._backups.point(point)
        kind = self._backups.job_of(found).kind
        if kind != "redis":
            raise BackupRefused(f"{point} is of kind {kind!r}; this is there for Redis only")
        return found
