"""How old the newest verified backup of each job is, as complaints of the own checks.

What lives here: the two complaints. What must not: who is told of them; the watcher's rules are
the same as for everything else. Why a backup is missing does not matter here: a beat that is
down, a full disk and a job that nobody ordered are all the same loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

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
        for job in self._backups.jobs.values():
            for subject, newest in self._newest(job).items():
                since = self._since(job, newest, now)
                if now - since > job.rpo_target_s:
                    yield _missing(
                        job, subject, newest, since, now, ("the RPO target", job.rpo_target_s)
                    )
                elif now - since >= WARNING_SHARE * job.rpo_target_s and self._cannot_meet(
                    job, since, now
                ):
                    left = duration(since + job.rpo_target_s - now)
                    yield (
                        f"{job.name}: the newest {_kind(job)} of {subject} will be older than the "
                        f"RPO target in {left}, and none is due before ({_known(newest, now)}); "
                        f"`autobot-dr backup run {job.name}` takes one"
                    )

    def _too_late(self) -> Iterator[str]:
        now = self._coordinator.now()
        for job in self._backups.jobs.values():
            for subject, newest in self._newest(job).items():
                since = self._since(job, newest, now)
                if now - since > job.rpo_maximum_s:
                    yield _missing(
                        job, subject, newest, since, now, ("what is accepted", job.rpo_maximum_s)
                    )

    def _since(self, job: Job, newest: RestorePoint | None, now: float) -> float:
        """Where there never was one, it is missing since somebody wanted it."""
        return newest.covers_until if newest else self._backups.known_since(job, now)

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

    def _cannot_meet(self, job: Job, since: float, now: float) -> bool:
        """Whether nothing is on its way: no slot comes in time, and none is being taken."""
        coming = next_slot(job, now)
        if coming is not None and coming <= since + job.rpo_target_s:
            return False
        going = self._coordinator.store.not_closed()
        return not any(e.scenario == scenario_of(job) and e.state in WORKING for e in going)


def _missing(
    job: Job,
    subject: str,
    newest: RestorePoint | None,
    since: float,
    now: float,
    passed: tuple[str, float],
) -> str:
    what, limit = passed
    return (
        f"{job.name}: no {_kind(job)} of {subject} for {duration(now - since)}, "
        f"{what} is {duration(limit)} ({_known(newest, now)}); "
        f"`autobot-dr backup run {job.name}` says why"
    )


def _kind(job: Job) -> str:
    return "verified backup" if job.proves else "snapshot or export"


def _known(newest: RestorePoint | None, now: float) -> str:
    if newest is None:
        return "there is none"
    return f"{newest.id} is {duration(now - newest.covers_until)} old"
