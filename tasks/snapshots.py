"""Snapshots and exports of virtual machines that a backup job makes: their names, and what is told.

What lives here: names with the job and the time, and the words of a report. What must not: asking
a hypervisor. Only what bears such a name is ever removed: all others are somebody else's.
"""

from __future__ import annotations

import json
import re
import time
from calendar import timegm
from collections.abc import Iterable
from dataclasses import dataclass

from tasks import machines
from tasks.contract import Json

_TIME = "%Y%m%dT%H%M%SZ"
_ENDS = re.compile(r"-(\d{8}T\d{6}Z)")
#: Said of every snapshot, wherever it is listed.
NO_BACKUP = "no backup: it is on the machine's own disk"
NOT_BOOTED = "its disks were found sound; nobody has booted it"


@dataclass(frozen=True, slots=True)
class Arguments(machines.Arguments):
    prefix: str  #: the job and the machine: what this job made begins so
    job: str


def name_at(prefix: str, at: float) -> str:
    return f"{prefix}-{time.strftime(_TIME, time.gmtime(at))}"


def taken_at(prefix: str, name: str) -> float | None:
    """From its name; None for what this job did not make."""
    ends = _ENDS.fullmatch(name[len(prefix) :]) if name.startswith(prefix) else None
    try:
        return float(timegm(time.strptime(ends[1], _TIME))) if ends else None
    except ValueError:
        return None


def ours(prefix: str, names: Iterable[str]) -> tuple[str, ...]:
    """Those that this job made, the oldest first."""
    return tuple(sorted(each for each in names if taken_at(prefix, each) is not None))


def told(wanted: Arguments, name: str, where: str, size_bytes: int, reason: str) -> str:
    """For the coordinator's catalogue. What was not opened and compared is never `verified`."""
    at = taken_at(wanted.prefix, name)
    said: dict[str, Json] = {
        "id": name,
        "job": wanted.job,
        "folder": where,
        "taken_at": at,
        "covers_until": at,
        "verified_at": None,
        "state": "taken" if reason == NO_BACKUP else "stored",
        "reason": reason,
        "size_bytes": size_bytes,
        "sha256": "",
    }
    return json.dumps({"restore_point": said}, sort_keys=True)
