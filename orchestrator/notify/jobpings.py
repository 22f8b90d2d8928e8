"""Somebody elsewhere hears of each backup of a job, and misses it: start, success, failure.

What lives here: asking for a job's `ping` URL in the way of healthchecks.io (`/start`, the URL
itself, `/fail` with the reason). What must not: judging a backup; the run's state says it. What
was heard is kept in the store as a slot, so each is said once, and a ping that failed is tried
again for a while. A dead man's switch of the coordinator itself is deadman.py's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from orchestrator.backups import Backups
from orchestrator.core.backups import Job, scenario_of
from orchestrator.core.incident import Incident, State
from tasks.host import Host
from tasks.pinging import FAIL, START, SUCCESS, ping

log = logging.getLogger("autobot_dr.notify")

AGAIN_SECONDS = 30.0  #: between two tries
GIVE_UP_SECONDS = 3600.0  #: what is older is no news, and whoever misses it knows
NEWEST = 50  #: runs that are looked through


class JobPings:
    """One per coordinator; `tick` in a thread of its own, because a server may be slow."""

    def __init__(self, backups: Backups, host: Host) -> None:
        self._backups, self._host = backups, host
        self._store, self._now = backups.coordinator.store, backups.coordinator.now
        self._not_before: dict[str, float] = {}

    @property
    def wanted(self) -> bool:
        return any(job.ping for job in self._backups.jobs.values())

    def tick(self) -> None:
        """Say all that is to be said and was not."""
        jobs = {scenario_of(each): each for each in self._backups.jobs.values() if each.ping}
        for incident in self._store.runs(limit=NEWEST) if jobs else ():
            if job := jobs.get(incident.scenario):
                for what, at in _moments(incident):
                    self._say(job, incident, what, at)

    def _say(self, job: Job, incident: Incident, what: str, at: float) -> None:
        now, name = self._now(), f"ping-{what}-{incident.run}"
        if now - at > GIVE_UP_SECONDS or now < self._not_before.get(name, 0.0):
            return
        if self._store.slots.claimed_at(name, at) is not None:
            return
        if problem := ping(self._host, job.ping, what, incident.reason if what == FAIL else ""):
            log.warning("%s: its %s could not be pinged: %s", job.name, what, problem)
            self._not_before[name] = now + AGAIN_SECONDS
            return
        self._not_before.pop(name, None)
        self._store.slots.claim(name, at, now)


def _moments(incident: Incident) -> Iterator[tuple[str, float]]:
    """What there is to say of a run, each with its time."""
    if incident.state is not State.OPEN:
        yield START, incident.opened_at
    if incident.ended_at is not None:
        yield SUCCESS if incident.recovered else FAIL, incident.ended_at
