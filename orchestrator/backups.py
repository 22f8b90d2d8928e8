"""Backups as runs: taking one, proving it again, restoring it, and what is due by schedule.

What lives here: the way from a request to a plan that the coordinator carries out, and what
speaks against it. What must not: the plans themselves (core/redisbackups.py and
its like), and Celery.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping

from orchestrator.catalog import TaskCatalog
from orchestrator.coordinator import Coordinator
from orchestrator.core.backups import Job, scenario_of
from orchestrator.core.incident import WORKING, Incident
from orchestrator.core.plan import Plan
from orchestrator.core.policy import machines_of
from orchestrator.core.restorepoints import PointState, RestorePoint
from orchestrator.core.slots import FIRST, due_slot
from orchestrator.handingout import sheets_of
from orchestrator.ports import PublishFailed
from orchestrator.restorepoints import UnknownPoint

log = logging.getLogger("autobot_dr.backups")


class UnknownJob(LookupError):
    """There is no such backup job; nothing was started."""


class BackupRefused(Exception):
    """It cannot be done as things are, and why; nothing was started."""


class Backups:
    """One per coordinator."""

    def __init__(self, coordinator: Coordinator, jobs: Mapping[str, Job]) -> None:
        self.coordinator, self.jobs = coordinator, jobs
        self._store, self._fleet = coordinator.store, coordinator.protected.fleet

    def job(self, name: str) -> Job:
        if name not in self.jobs:
            known = ", ".join(sorted(self.jobs)) or "none; fleet.yaml has no `backups`"
            raise UnknownJob(f"there is no backup job {name!r} (known: {known})")
        return self.jobs[name]

    def point(self, name: str) -> RestorePoint:
        found = self._store.restore_points.get(name)
        if found is None:
            shown = "`autobot-dr backup list` shows those there are"
            raise UnknownPoint(f"there is no restore point {name!r}; {shown}")
        known = self._fleet.services if found.service else self._fleet.machines
        subject = found.service or found.machine
        if subject not in known:
            raise BackupRefused(
                f"{name} is a backup of {subject!r}, which is not in fleet.yaml any more; "
                f"it is in {found.location[0]}"
            )
        return found

    def job_of(self, point: RestorePoint) -> Job:
        """The job that knows how to deal with it."""
        job = self.jobs.get(point.job)
        if job is None or job.kind != point.kind:
            raise BackupRefused(
                f"{point.id} is a backup of job {point.job!r}, which is not in fleet.yaml any "
                f"more; put the job back under that name. It is in {point.location[0]}"
            )
        return job

    def take(self, job: str, *, reason: str, run: str = "", key: str = "") -> Incident:
        plan = self.job(job).backup_plan(self._fleet, TaskCatalog())
        if not isinstance(plan, Plan):
            raise BackupRefused("; ".join(str(each) for each in plan))
        begun = self.begin(plan, reason, run, key)
        self.hand_out(job)
        return begun

    def hand_out(self, *jobs: str) -> None:
        """The sheets by which agents back these up without an order; they keep the newest."""
        for name in jobs or tuple(self.jobs):
            for sheet in sheets_of(self.job(name), self._fleet, self.coordinator.now()):
                try:
                    self.coordinator.publisher.hand_out(sheet)
                except PublishFailed as away:
                    log.info("%s: its sheet is handed out with the next backup: %s", name, away)

    def verify(self, point: str, *, reason: str, run: str = "", key: str = "") -> Incident:
        found = self.point(point)
        plan = self.job_of(found).verify_plan(found, self._fleet, TaskCatalog())
        return self.begin(plan, reason, run, key)

    def examine(self, job: str, *, reason: str, run: str = "", key: str = "") -> Incident:
        wanted = self.job(job)
        plan = wanted.doctor_plan(self._fleet, TaskCatalog())
        if plan is None:
            raise BackupRefused(f"{job} is of kind {wanted.kind!r}, which has no doctor")
        return self.begin(plan, reason, run, key)

    def prune(
        self, job: str, *, dry_run: bool, reason: str, run: str = "", key: str = ""
    ) -> Incident:
        plan = self.job(job).prune_plan(self._fleet, TaskCatalog(), dry_run=dry_run)
        if plan is None:
            raise BackupRefused(f"{job} has no `keep`, so none of its backups ever goes; add it")
        return self.begin(plan, reason, run, key)

    def scan(self, job: str, *, reason: str, run: str = "", key: str = "") -> Incident:
        """Ask the vault for the backups that it has, for a catalogue that was lost."""
        wanted = self.job(job)
        plan = wanted.scan_plan(self._fleet, TaskCatalog())
        if plan is None:
            raise BackupRefused(f"{job} is of kind {wanted.kind!r}, which cannot be scanned")
        return self.begin(plan, reason, run, key)

    def restore(self, point: str, *, reason: str, run: str = "", key: str = "") -> Incident:
        found = self.point(point)
        if found.state is not PointState.VERIFIED:
            why = f": {found.reason}" if found.reason else ""
            raise BackupRefused(
                f"{point} is {found.state}{why}; only a verified one is restored, "
                f"`autobot-dr backup verify {point}` proves it"
            )
        return self.begin(self.restore_plan(found), reason, run, key)

    def restore_plan(self, point: RestorePoint) -> Plan:
        return self.job_of(point).restore_plan(point, self._fleet, TaskCatalog())

    def take_due(self, now: float) -> list[Incident]:
        """Begin what is due by schedule and was not begun yet, missed slots within their window."""
        begun = (self._take_due(each, now) for each in self.jobs.values())
        return [each for each in begun if each]

    def _take_due(self, job: Job, now: float) -> Incident | None:
        schedule = scenario_of(job)
        due = due_slot(job, self.known_since(job, now), now)
        if due is None or self._store.slots.claimed_at(schedule, due) is not None:
            return None
        # The slot names the run: whoever else takes it takes the same run, and a death in
        # between is made good by the next look.
        run = run_of(schedule, due)
        if self._store.load(run) is None:
            try:
                self.take(job.name, reason="by schedule", run=run)
            except BackupRefused as busy:
                log.warning("%s waits: %s", schedule, busy)
                return None
        claimed = self._store.slots.claim(schedule, due, now)
        stored = self._store.load(run)
        return stored.incident if claimed and stored else None

    def known_since(self, job: Job, now: float) -> float:
        """Since when this job is looked after: nothing was missed before."""
        schedule = scenario_of(job)
        self._store.slots.claim(schedule, FIRST, now)
        return self._store.slots.claimed_at(schedule, FIRST) or now

    def begin(self, plan: Plan, reason: str, run: str, key: str) -> Incident:
        run = run or str(uuid.uuid4())
        if key:
            run = self._store.run_for_key(key, run)
        if known := self._store.load(run):
            return known.incident
        if busy := self._busy(plan):
            raise BackupRefused(busy)
        return self.coordinator.carry_out(plan, reason=reason, run=run)

    def _busy(self, plan: Plan) -> str:
        """A later run takes the machines from an earlier one, which a backup must never do."""
        mine = {
            step.machine for rung in plan.rungs for branch in rung.branches for step in branch.steps
        }
        for each in self._store.not_closed():
            shared = sorted(mine & machines_of(each))
            if each.state in WORKING and shared:
                what = f"run {each.run} of {each.scenario!r} works on {', '.join(shared)}"
                return f"{what}; wait for its end, or cancel it"
        return ""


def run_of(schedule: str, due: float) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:autobot-dr:slot:{schedule}:{due:.0f}"))
