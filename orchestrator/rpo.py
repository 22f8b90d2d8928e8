"""How old the newest verified backup of each job is, as complaints of the own checks.

What lives here: the two complaints. What must not: who is told of them; the watcher's rules are
the same as for everything else. Why a backup is missing does not matter here: a beat that is
down, a full disk and a job that nobody ordered are all the same loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from orchestrator.backups import Backups
from orchestrator.core.backups import Job, scenario_of
from orchestrator.core.incident import WORKING
from orchestrator.core.restorepoints import PointState, RestorePoint
from orchestrator.core.slots import next_slot
from orchestrator.wording import duration

#: Told to the first contact; and what people are called for.
LATE, TOO_LATE = "backups", "rpo"
LISTED = 1000
#: From this part of the target on it is a warning that nothing is on its way to meet it.
WARNING_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Covered:
    """Until when there is a backup of something, and which one."""

    job: Job
    subject: str
    newest: RestorePoint | None
    since: float

    def age(self, now: float) -> float:
        return now - self.since

    @property
    def kind(self) -> str:
        return "verified backup" if self.job.proves else "snapshot or export"

    def known(self, now: float) -> str:
        return (
            f"{self.newest.id} is {duration(self.age(now))} old" if self.newest else "there is none"
        )

    def missing(self, what: str, limit: float, now: float) -> str:
        return (
            f"{self.job.name}: no {self.kind} of {self.subject} for {duration(self.age(now))}, "
            f"{what} is {duration(limit)} ({self.known(now)}); "
            f"`autobot-dr backup run {self.job.name}` says why"
        )


class RpoAlarm:
    """One per coordinator."""

    def __init__(self, backups: Backups) -> None:
        self._backups, self._coordinator = backups, backups.coordinator

    def complaints(self) -> dict[str, Callable[[], str]]:
        """By the name of their own check; none where nothing is to be backed up."""
        if not self._backups.jobs:
            return {}
        return {
            LATE: lambda: "; ".join(self._late()),
            TOO_LATE: lambda: "; ".join(self._too_late()),
        }

    def _late(self) -> Iterator[str]:
        """Past the target, or about to be."""
        now = self._coordinator.now()
        for each in self._covered(now):
            job, ends = each.job, each.since + each.job.rpo_target_s
            if now > ends:
                yield each.missing("the RPO target", job.rpo_target_s, now)
            elif each.age(now) >= WARNING_SHARE * job.rpo_target_s and self._cannot_meet(
                job, ends, now
            ):
                yield (
                    f"{job.name}: the newest {each.kind} of {each.subject} will be older than the "
                    f"RPO target in {duration(ends - now)}, and none is due before "
                    f"({each.known(now)}); `autobot-dr backup run {job.name}` takes one"
                )

    def _too_late(self) -> Iterator[str]:
        now = self._coordinator.now()
        for each in self._covered(now):
            if each.age(now) > each.job.rpo_maximum_s:
                yield each.missing("what is accepted", each.job.rpo_maximum_s, now)

    def _covered(self, now: float) -> Iterator[Covered]:
        for job in self._backups.jobs.values():
            for subject, newest in self._newest(job).items():
                # Where there never was one, it is missing since somebody wanted it.
                since = newest.covers_until if newest else self._backups.known_since(job, now)
                yield Covered(job, subject, newest, since)

    def _newest(self, job: Job) -> dict[str, RestorePoint | None]:
        """The newest backup that counts, by what it is of."""
        points = self._coordinator.store.restore_points
        if job.proves:
            return {job.subject: points.newest_verified(job.service, job=job.name)}
        listed = points.newest(limit=LISTED, job=job.name)
        good = [each for each in listed if each.state is not PointState.FAILED]
        return {
            name: next((each for each in good if each.machine == name), None)
            for name in job.subjects
        }

    def _cannot_meet(self, job: Job, ends: float, now: float) -> bool:
        """Whether nothing is on its way: no slot comes in time, and none is being taken."""
        coming = next_slot(job, now)
        if coming is not None and coming <= ends:
            return False
        going = self._coordinator.store.not_closed()
        return not any(e.scenario == scenario_of(job) and e.state in WORKING for e in going)
