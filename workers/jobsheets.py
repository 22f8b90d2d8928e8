"""The job sheets that an agent holds: what it may back up by itself, kept over a restart.

What lives here: one file for each job. What must not: carrying anything out (alone.py). The
signature is checked at each reading too, so that nothing rests on who could write the files.
"""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Mapping
from pathlib import Path

from tasks.contract import JobSheet, Json, WireError
from tasks.host import HostFault, LocalHost
from workers.executor import Identity
from workers.guard import sheet_refusal

_NAME = re.compile(r"[a-z][a-z0-9-]{0,40}")  #: as fleet.yaml has names; it becomes a file's


class NoSheet(Exception):
    """This agent holds no usable job sheet; the coordinator hands one out when it starts and
    with each backup that it orders."""


def _file(identity: Identity, job: str) -> Path:
    return identity.state / "jobs" / f"{job}.json"


def held_sheet(identity: Identity, job: str) -> JobSheet:
    """Raises NoSheet."""
    if not _NAME.fullmatch(job):
        raise NoSheet(f"{job!r} is no name of a job")
    path = _file(identity, job)
    try:
        sheet = JobSheet.from_wire(json.loads(path.read_text()))
    except FileNotFoundError as error:
        known = ", ".join(sorted(each.stem for each in path.parent.glob("*.json"))) or "none"
        raise NoSheet(f"no job sheet for {job!r} (held: {known})") from error
    except (OSError, ValueError) as error:  # WireError is a ValueError
        raise NoSheet(f"{path} cannot be used: {error}") from error
    if reason := _refusal(identity, sheet, None):
        raise NoSheet(f"{path} is refused, {reason}")
    return sheet


def take_sheet(identity: Identity, message: Mapping[str, Json]) -> str:
    """Keep this sheet instead of the one held; the reason if it is refused, else nothing."""
    try:
        offered = JobSheet.from_wire(message)
    except WireError as fault:
        return str(fault)
    if not _NAME.fullmatch(offered.job):
        return f"{offered.job!r} is no name of a job"
    path = _file(identity, offered.job)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            held = held_sheet(identity, offered.job)
        except NoSheet:
            held = None
        if reason := _refusal(identity, offered, held):
            return reason
        try:
            LocalHost().write(str(path), json.dumps(offered.to_wire()).encode(), mode=0o600)
        except HostFault as fault:
            return str(fault)
    return ""


def _refusal(identity: Identity, sheet: JobSheet, held: JobSheet | None) -> str | None:
    return sheet_refusal(sheet, agent=identity.machine, coordinator=identity.coordinator, held=held)
