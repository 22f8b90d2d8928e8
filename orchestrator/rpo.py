"""How old the newest verified backup of each job is, as complaints of the own checks.

What lives here: the two complaints. What must not: who is told of them; the watcher's rules are
the same as for everything else. Why a backup is missing does not matter here: a beat that is
down, a full disk and a job that nobody ordered are all the same loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from orchestrator.backups import Backups
from orchestrator.core.backups import Job
from orchestrator.wording import duration

#: Told to the first contact; and what people are called for.
LATE, TOO_LATE = "backups", "rpo"


class RpoAlarm:
    """One per coordinator."""

    def __init__(self, backups: Backups) -> None:
        self._backups, self._coordinator = backups, backups.coordinator

    def complaints(self) -> dict[str, Callable[[], str]]:
        """By the name of their own check; none where nothing is to be backed up."""
        if not self._backups.jobs:
            return {}
        return {
            LATE: lambda: "; ".join(self._older(lambda job: job.rpo_target_s, "the RPO target")),
            TOO_LATE: lambda: "; ".join(
                self._older(lambda job: job.rpo_maximum_s, "what is accepted")
            ),
        }

    def _older(self, limit: Callable[[Job], float], what: str) -> Iterator[str]:
        now = self._coordinator.now()
        for job in self._backups.jobs.values():
            newest = self._coordinator.store.restore_points.newest_verified(
                job.service, job=job.name
            )
            # Where there never was one, it is missing since somebody wanted it.
            since = newest.covers_until if newest else self._backups.known_since(job, now)
            if now - since > limit(job):
                known = f"{newest.id} is {duration(now - since)} old" if newest else "there is none"
                yield (
                    f"{job.name}: no verified backup of {job.subject} for {duration(now - since)}, "
                    f"{what} is {duration(limit(job))} ({known}); "
                    f"`autobot-dr backup run {job.name}` says why"
                )
