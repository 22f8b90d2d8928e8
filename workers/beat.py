"""Celery beat: says when backups are due. Any number of beats may run, on any machines.

What lives here: the entries made from the fleet file, and the process. What must not: deciding
whether a backup is taken; the coordinator takes each slot once, also one that was missed, so
nothing that beat remembers matters and its state needs no file.
"""

from __future__ import annotations

import logging
import signal
import sys
import warnings
from typing import Any

from celery import Celery
from celery.beat import Scheduler, Service
from celery.platforms import SecurityWarning
from celery.schedules import crontab, schedule

from orchestrator.config import Configuration, load
from orchestrator.core.backups import Job, scenario_of
from orchestrator.settings import read_settings
from workers.broker import COORDINATOR_QUEUE, make_app

log = logging.getLogger("autobot_dr.beat")

DUE = "orchestrator.backups_due"
#: How soon after its time a slot is taken that was missed, or that had to wait.
CATCH_UP_SECONDS = 60.0
WAKE_SECONDS = 5.0  #: a beat that sleeps longer than that would be late for a clock that is set


def entries(jobs: dict[str, Job]) -> dict[str, dict[str, Any]]:
    """Beat's own table: one entry for each schedule, and one for what was missed."""
    if not jobs:
        return {}
    found: dict[str, Any] = {scenario_of(each): _when(each) for each in jobs.values()}
    found["catch-up"] = schedule(CATCH_UP_SECONDS)
    options = {"queue": COORDINATOR_QUEUE}
    return {
        name: {"task": DUE, "schedule": when, "options": options}
        for name, when in found.items()
        if when is not None
    }


def _when(job: Job) -> Any:
    if job.every_s is not None:
        return schedule(job.every_s)
    if job.at_s is None:
        return None
    # Celery counts days from Sunday.
    days = ",".join(str((day + 1) % 7) for day in sorted(job.days))
    hour, minute = int(job.at_s) // 3600, int(job.at_s) % 3600 // 60
    return crontab(minute=str(minute), hour=str(hour), day_of_week=days)


def make_beat(app: Celery, jobs: dict[str, Job]) -> Service:
    app.conf.beat_schedule = entries(jobs)
    return Service(app, max_interval=WAKE_SECONDS, scheduler_cls=Scheduler)


def main() -> int:
    warnings.simplefilter("ignore", SecurityWarning)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    settings = read_settings()
    if isinstance(settings, tuple):
        return _refuse(settings)
    if settings.broker_url is None:
        return _refuse(["AUTOBOT_DR_BROKER_URL is not set; `autobot-dr up` starts a beat too"])
    found = load(settings.fleet, settings.runbooks)
    if not isinstance(found, Configuration):
        return _refuse(found)
    app = make_app(settings.broker_url.get_secret_value())
    service = make_beat(app, dict(found.inventory.backups))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    # What was missed while no beat ran is not waited for.
    if found.inventory.backups:
        app.send_task(DUE, queue=COORDINATOR_QUEUE)
    log.info("%d backup schedules", len(found.inventory.backups))
    service.start()
    return 0


def _end(_number: int, _frame: Any) -> None:
    """Out of any sleep or wait for the broker."""
    raise SystemExit(0)


def _refuse(faults: Any) -> int:
    print(f"autobot-dr beat: {'; '.join(map(str, faults))}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
