"""Plans around the restore of a Redis: keys alone, the way back, and a look before.

What lives here: these plans, and finding what a run restored.
What must not: the restore's own plan (redisbackups.py), and other kinds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from orchestrator.core.backups import bound_step, only_steps
from orchestrator.core.compiling import bound_settings
from orchestrator.core.fleet import Approval, Fleet
from orchestrator.core.incident import Incident
from orchestrator.core.plan import Branch, Catalog, Plan, PlannedRung, Step
from orchestrator.core.redisbackups import ARRIVALS, RESTORE, SEND
from orchestrator.core.restorepoints import RestorePoint
from tasks.contract import Json

KEYS, REHEARSE = "redis.restore_keys", "redis.restore_rehearse"
#: What takes back which operation.
UNDO = {RESTORE: "redis.restore_undo", KEYS: "redis.restore_keys_undo"}


@dataclass(frozen=True, slots=True)
class Restored:
    """What a run has put, or has begun to put, into a service."""

    operation: str
    service: str
    id: str  #: of the backup


def restored_by(incident: Incident) -> Restored | None:
    """The last restore of this run, if it had one."""
    for step in reversed(incident.steps):
        if step.operation in UNDO and step.arguments.get("id"):
            return Restored(step.operation, step.service, str(step.arguments["id"]))
    return None


def keys_plan(
    point: RestorePoint, pattern: str, fleet: Fleet, catalog: Catalog, *, dry_run: bool
) -> Plan:
    """Put its keys that match into the live service, or count them."""
    given: dict[str, Json] = {"pattern": pattern, "dry_run": dry_run}
    steps = _at_service(point, KEYS, given, fleet, catalog)
    what = "Count" if dry_run else "Restore"
    return _with_check(f"restore-keys-{point.service}", f"{what} keys like {pattern}", steps, fleet)


def rehearse_plan(point: RestorePoint, fleet: Fleet, catalog: Catalog) -> Plan:
    """See on its machine what a restore would replace, what speaks against it, how long it takes.
    Nothing is sent there and nothing changed."""
    service = fleet.services[point.service]
    machine = fleet.machines[service.machine]
    given = {**bound_settings(machine, service), "size_bytes": point.size_bytes}
    step = bound_step(catalog, REHEARSE, machine.name, machine.name, service.name, given)
    title = f"Look at what a restore of {point.id} would do"
    return only_steps(f"rehearse-{point.service}", point.service, title, step)


def undo_plan(restored: Restored, fleet: Fleet, catalog: Catalog) -> Plan:
    """What that restore kept, back in its place; then look from outside."""
    service = fleet.services[restored.service]
    machine = fleet.machines[service.machine]
    given = {**bound_settings(machine, service), "id": restored.id}
    operation = UNDO[restored.operation]
    step = bound_step(catalog, operation, machine.name, machine.name, service.name, given)
    title = f"Undo the restore of {restored.id}"
    return _with_check(f"undo-{service.name}", title, (step,), fleet)


def _at_service(
    point: RestorePoint,
    operation: str,
    given: dict[str, Json],
    fleet: Fleet,
    catalog: Catalog,
) -> tuple[Step, ...]:
    """The operation on the service's machine; the backup is brought there first."""
    service = fleet.services[point.service]
    machine = fleet.machines[service.machine]
    folder = point.folder
    steps: list[Step] = []
    if point.vault != machine.name:
        folder = f"{ARRIVALS}/{point.id}"
        sent = {**bound_settings(machine, None), "backup": point.folder, "into": folder}
        steps.append(bound_step(catalog, SEND, point.vault, machine.name, service.name, sent))
    named = {**bound_settings(machine, service), **given, "backup": folder, "id": point.id}
    steps.append(bound_step(catalog, operation, machine.name, machine.name, service.name, named))
    return tuple(steps)


def _with_check(scenario: str, title: str, steps: tuple[Step, ...], fleet: Fleet) -> Plan:
    service = fleet.services[steps[-1].service]
    numbered = tuple(replace(each, number=number) for number, each in enumerate(steps))
    checks = (service.name,)
    branch = Branch(scenario, numbered, checks, checks, service.start_seconds)
    return Plan(scenario, (PlannedRung(title, Approval.AUTO, (branch,)),))
