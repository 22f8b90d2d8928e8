"""The coordinator's dealings with the catalogue of backups: reports in, restore points out.

What lives here: the two steps between the store and the pure functions. What must not: any
request about a backup (orchestrator/backups.py).
"""

from __future__ import annotations

from orchestrator.catalog import TaskCatalog
from orchestrator.core.fleet import Fleet
from orchestrator.core.plan import Plan
from orchestrator.core.redisbackups import needing_points, with_points
from orchestrator.core.restorepoints import GONE, MARK, gone, points_of
from orchestrator.ports import Store
from tasks.contract import WorkReport


def bound(plan: Plan, store: Store, fleet: Fleet) -> Plan:
    """With the newest proved backup in each step that restores one and names none."""
    newest = {name: store.restore_points.newest_verified(name) for name in needing_points(plan)}
    points = {name: point for name, point in newest.items() if point}
    return with_points(plan, points, fleet, TaskCatalog()) if points else plan


def catalogue(report: WorkReport, store: Store, fleet: Fleet) -> None:
    """Keep what it tells of a backup, before the run moves on: who sees its end finds the backup.

    The same report again changes nothing.
    """
    if MARK not in report.detail and GONE not in report.detail:
        return
    stored = store.load(report.run)
    if stored is None:
        return
    for point in points_of(stored.incident, report, fleet):
        store.restore_points.record(point)
    store.restore_points.forget(gone(stored.incident, report))
