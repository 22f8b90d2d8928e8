"""When a backup is due: a slot is a schedule and a time, and each is taken once.

What lives here: the newest slot that is due and not too old, and the next one. What must not:
claiming it (the Slots port). Of several missed slots only the newest is caught up: two backups
of one moment are worth no more than one.
"""

from __future__ import annotations

from orchestrator.core.backups import Job

DAY = 86400.0
#: A slot before all others, taken when a job is first seen.
FIRST = 0.0
#: A slot that was missed for longer than this is left out.
CATCH_UP_SECONDS = 12 * 3600.0
#: So soon after its time a slot is not yet one that nobody took.
TAKEN_SECONDS = 120.0


def due_slot(job: Job, known_since: float, now: float) -> float | None:
    """The newest slot until now, if it may still be taken."""
    newest = _newest(job, now)
    if newest is None or newest < known_since or now - newest > CATCH_UP_SECONDS:
        return None
    return newest


def next_slot(job: Job, now: float) -> float | None:
    """The first one from now on, or one that is being taken; None without a schedule."""
    newest = _newest(job, now)
    if newest is None:
        return None
    if now - newest < TAKEN_SECONDS:
        return newest
    if job.every_s is not None:
        return newest + job.every_s
    # A week on there is the same slot again, so some day before it has one.
    days = (_newest(job, now + ahead * DAY) for ahead in range(1, 8))
    return next(slot for slot in days if slot is not None and slot > now)


def _newest(job: Job, now: float) -> float | None:
    if job.every_s is not None:
        return now // job.every_s * job.every_s
    if job.at_s is None:
        return None
    today = now // DAY * DAY
    for back in range(8):
        midnight = today - back * DAY
        # The first of January 1970 was a Thursday.
        if (int(midnight // DAY) + 3) % 7 in job.days and midnight + job.at_s <= now:
            return midnight + job.at_s
    return None
