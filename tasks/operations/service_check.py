"""service.check: a service's own health check answers healthy, asked from its machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tasks import checks
from tasks.contract import Json
from tasks.host import Host
from tasks.operation import Act, Met, Refuse, Unmet, only_look


@dataclass(frozen=True, slots=True)
class Arguments:
    check: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Seen:
    complaint: str
    fault: str = ""
    barred: bool = False


def look(host: Host, wanted: Arguments) -> Seen:
    if fault := checks.fault(wanted.check):
        return Seen("", fault)
    checked = checks.take(host, wanted.check)
    return Seen(checked.complaint, barred=checked.barred)


def decide(_wanted: Arguments, seen: Seen) -> Act | Refuse:
    return Refuse(seen.fault) if seen.fault else Act()


def judge(wanted: Arguments, now: Seen) -> Met | Unmet:
    if now.complaint:
        return Unmet(now.complaint, final=now.barred)
    return Met(f"the service is healthy: its {wanted.check['probe']} check answers as expected")


check = only_look(
    "service.check",
    "Wait until a service's health check is healthy",
    Arguments,
    Seen,
    look,
    judge,
    seconds=120,
    decide=decide,
)
