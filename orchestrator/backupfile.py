"""The part of fleet.yaml that is about backups: all its jobs together.

What lives here: the jobs built from their shapes, and the faults that only the other parts show.
What must not: the shapes (backupkinds/), the rest of the fleet file (fleetfile.py), and taking a
backup.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress

from pydantic import TypeAdapter, ValidationError

from orchestrator.backupkinds import AnyShape
from orchestrator.backupkinds.common import DAY, JobShape
from orchestrator.catalog import TaskCatalog
from orchestrator.core.backups import Job
from orchestrator.core.fleet import Fleet, Objectives
from orchestrator.core.plan import Fault, Plan
from orchestrator.yamlfile import Document
from tasks.contract import Json

_ANY: TypeAdapter[JobShape] = TypeAdapter(AnyShape)


def jobs(shapes: Mapping[str, JobShape], objectives: Objectives) -> dict[str, Job]:
    return {name: each.job(name, objectives) for name, each in shapes.items()}


def sound(section: Json) -> dict[str, JobShape]:
    """Those without a fault of their own."""
    found = {}
    for name, value in section.items() if isinstance(section, dict) else ():
        with suppress(ValidationError):
            found[name] = _ANY.validate_python(value)
    return found


def reference_faults(
    document: Document,
    shapes: Mapping[str, JobShape],
    known: Mapping[str, Collection[str]],
) -> Iterator[Fault]:
    """What is named and not there, and folders that two jobs would share."""
    seen: dict[tuple[str, str], str] = {}
    for name, each in shapes.items():
        for key, section, value in each.references():
            if value not in known[section]:
                names = ", ".join(known[section]) or "none"
                message = f"{value!r} is not a {section.removesuffix('s')} here (known: {names})"
                yield document.fault(("backups", name, key), message)
        first = seen.setdefault((each.vault, each.folder), name)
        if first != name:
            message = f"{each.folder} on {each.vault} is the folder of {first!r} too"
            place = ("backups", name, "folder")
            yield document.fault(place, f"{message}; give each its own")


def plan_faults(document: Document, found: Mapping[str, Job], fleet: Fleet) -> Iterator[Fault]:
    """What keeps a job from having a plan, such as a service without a port of its own."""
    for name, job in found.items():
        planned = job.backup_plan(fleet, TaskCatalog())
        if not isinstance(planned, Plan):
            for each in planned:
                yield document.fault(("backups", name), each.message)


def warnings(document: Document, found: Mapping[str, Job]) -> Iterator[Fault]:
    """Schedules that cannot keep what is asked of them."""
    for name, job in found.items():
        longest = _between(job)
        if longest is not None and longest > job.rpo_target_s:
            message = (
                f"there are up to {longest / 3600:g} h between two backups, and the RPO target is "
                f"{job.rpo_target_s / 3600:g} h; back up more often, or give the job its own `rpo`"
            )
            yield document.fault(("backups", name), message)


def _between(job: Job) -> float | None:
    """The longest time between two slots; None without a schedule."""
    if job.every_s is not None or job.at_s is None:
        return job.every_s
    days = sorted(job.days)
    gaps = [(after - day - 1) % 7 + 1 for day, after in zip(days, days[1:] + days[:1], strict=True)]
    return max(gaps) * DAY
