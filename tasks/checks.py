"""A service's health check, asked from the machine itself as part of an operation.

A check is a mapping: `probe` names one of tasks/probes, the rest are its arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tasks.arguments import BadArguments, read_arguments
from tasks.catalog import probes
from tasks.contract import Json, Kind
from tasks.host import Host
from tasks.operation import take_reading


@dataclass(frozen=True, slots=True)
class Checked:
    complaint: str  #: nothing when the service is healthy
    kind: Kind

    @property
    def barred(self) -> bool:
        """It lives and does not let us in: no waiting and no restart mends that."""
        return self.kind is Kind.BARRED


def take(host: Host, check: Mapping[str, Json]) -> Checked:
    probe, arguments = _taken_apart(check)
    reading = take_reading(host, probes()[probe], arguments, vantage="")
    return Checked("" if reading.healthy else reading.reason, reading.kind)


def fault(check: Mapping[str, Json]) -> str:
    """Why this is no check, or nothing."""
    probe, arguments = _taken_apart(check)
    if probe not in probes():
        return f"check: {probe!r} is not a probe (known: {', '.join(sorted(probes()))})"
    try:
        read_arguments(probes()[probe].arguments, arguments)
    except BadArguments as faults:
        return f"check: {faults}"
    return ""


def _taken_apart(check: Mapping[str, Json]) -> tuple[str, dict[str, Json]]:
    arguments = dict(check)
    return str(arguments.pop("probe", "")), arguments
