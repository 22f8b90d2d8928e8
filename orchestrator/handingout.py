"""Job sheets: what each agent may do of a backup job by itself, and what it tells of it afterwards.

What lives here: making the sheets of a plan, and taking in the reports of what was done without a
run. What must not: sending them (the Publisher port), and the job's plan.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from orchestrator.catalog import TaskCatalog
from orchestrator.cataloguing import MARKS
from orchestrator.core.backups import Job
from orchestrator.core.fleet import Fleet
from orchestrator.core.incident import Incident
from orchestrator.core.plan import Plan
from orchestrator.core.restorepoints import gone, points_of
from orchestrator.core.steps import new_records
from orchestrator.ports import Store
from tasks.contract import JobSheet, WorkReport, job_of_alone

log = logging.getLogger("autobot_dr.backups")


def sheets_of(job: Job, fleet: Fleet, now: float) -> tuple[JobSheet, ...]:
    """One for each agent with a part in it. The steps are those that it would be ordered."""
    plan = job.backup_plan(fleet, TaskCatalog())
    if not isinstance(plan, Plan):
        return ()
    steps = [step for branch in plan.rungs[0].branches for step in branch.steps]
    by_agent: dict[str, list[dict[str, object]]] = {}
    for step in steps:
        about = {"number": step.number, "operation": step.operation, "machine": step.machine}
        about |= {"service": step.service, "seconds": step.seconds}
        by_agent.setdefault(step.agent, []).append({**about, "arguments": dict(step.arguments)})
    return tuple(
        JobSheet(agent=agent, job=job.name, steps=parts, ping=job.ping, issued_at=now)
        for agent, parts in by_agent.items()
    )


def take_alone(report: WorkReport, store: Store, fleet: Fleet, jobs: Mapping[str, Job]) -> bool:
    """Keep what an agent did by itself in the catalogue; whether it was such a report.

    By the backup's id, so the same report again changes nothing.
    """
    name = job_of_alone(report.run)
    if not name:
        return False
    plan = jobs[name].backup_plan(fleet, TaskCatalog()) if name in jobs else None
    if not isinstance(plan, Plan):
        log.warning("%s backed up %r by itself, which is no job here", report.agent, name)
        return True
    incident = _as_run(report, plan)
    log.info("%s by itself, %s: %s: %s", report.agent, name, report.outcome, report.reason)
    if any(mark in report.detail for mark in MARKS):
        for point in points_of(incident, report, fleet):
            store.restore_points.record(point)
        store.restore_points.forget(gone(incident, report))
    store.add_report(report)
    return True


def _as_run(report: WorkReport, plan: Plan) -> Incident:
    """What it would have been a report of."""
    branches = enumerate(plan.rungs[0].branches)
    steps = [
        record
        for number, branch in branches
        for record in new_records(0, number, branch.steps, report.attempt, report.started_at)
    ]
    return Incident(
        report.incident,
        report.run,
        0,
        plan.scenario,
        "by the agent itself",
        plan,
        report.started_at,
        steps=tuple(steps),
    )
