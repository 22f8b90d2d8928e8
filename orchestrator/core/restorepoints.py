"""A restore point: what is known of one backup, read from the signed reports about it.

What lives here: the value, and reading it from a report. What must not: keeping it (store/),
and any judgement of a dump's content; that is the manifest's, on the vault.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import StrEnum

from orchestrator.core.fleet import Fleet
from orchestrator.core.incident import Incident
from orchestrator.core.steps import StepRecord
from tasks.contract import Json, WorkReport

#: The detail of a report that tells of a backup, or of those that were removed, has it.
MARK, MANY, GONE = "restore_point", "restore_points", "pruned"
#: So ends the name of the operation, of any kind, that removes old ones.
PRUNES = ".prune"


class PointState(StrEnum):
    """How far a backup is. Only a verified one is restored."""

    TAKEN = "taken"
    STORED = "stored"
    VERIFIED = "verified"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class RestorePoint:
    """One backup. Times are Unix seconds."""

    id: str
    job: str
    service: str  #: what it is a backup of; empty where that is no service
    machine: str  #: of the service, or what it is a backup of
    vault: str  #: the machine that keeps it
    folder: str  #: on the vault
    taken_at: float
    covers_until: float  #: all that was written until then is in it
    verified_at: float | None
    state: PointState
    reason: str
    size_bytes: int
    sha256: str
    reported_at: float  #: when the agent said so: what was said later counts
    kind: str = "redis"  #: of its job
    offsite: str = ""  #: the repository in which a copy is, if there is one

    @property
    def location(self) -> tuple[str, ...]:
        """Where it is; the vault's own is the first."""
        here = f"{self.vault}:{self.folder}"
        return (here, self.offsite) if self.offsite else (here,)


def points_of(incident: Incident, report: WorkReport, fleet: Fleet) -> tuple[RestorePoint, ...]:
    """What a report of one of this run's steps tells of backups."""
    key = (report.rung, report.step, report.attempt)
    step = next((each for each in incident.steps if each.key == key), None)
    if step is None or step.agent != report.agent:
        return ()
    if step.service and step.service not in fleet.services:
        return ()
    try:
        said = json.loads(report.detail)
        told = [said[MARK]] if MARK in said else said[MANY]
        return tuple(_read(each, incident, step, fleet, report.ended_at) for each in told)
    except (ValueError, KeyError, TypeError):
        # The detail of any other step is text for people.
        return ()


def gone(incident: Incident, report: WorkReport) -> tuple[str, ...]:
    """The backups that a step of this run has removed."""
    key = (report.rung, report.step, report.attempt)
    step = next((each for each in incident.steps if each.key == key), None)
    if step is None or step.agent != report.agent or not step.operation.endswith(PRUNES):
        return ()
    try:
        return tuple(str(each) for each in json.loads(report.detail)[GONE])
    except (ValueError, KeyError, TypeError):
        return ()


def _read(
    said: dict[str, Json], incident: Incident, step: StepRecord, fleet: Fleet, at: float
) -> RestorePoint:
    verified_at = said["verified_at"]
    return RestorePoint(
        id=str(said["id"]),
        job=incident.plan.branch(step.rung, step.branch).name,
        service=step.service,
        machine=fleet.services[step.service].machine if step.service else step.machine,
        # Only who keeps it has read it, so nobody else tells of it.
        vault=step.agent,
        folder=str(said["folder"]),
        taken_at=float(said["taken_at"]),
        covers_until=float(said["covers_until"]),
        verified_at=None if verified_at is None else float(verified_at),
        state=PointState(said["state"]),
        reason=str(said["reason"]),
        size_bytes=int(said["size_bytes"]),
        sha256=str(said["sha256"]),
        reported_at=at,
        kind=step.operation.partition(".")[0],
        offsite=str(said.get("offsite", "")),
    )


def merged(known: RestorePoint | None, told: RestorePoint) -> RestorePoint:
    """What is known after a report, whichever came first. Who made it stays as first told."""
    if known is None:
        return told
    if told.reported_at < known.reported_at:
        return known
    # Who looks at the vault's own does not see what is elsewhere.
    return replace(told, job=known.job, offsite=told.offsite or known.offsite)
