"""Many machines gone at once: one cause for all of them, or our own sight.

What lives here: `common_cause`. What must not: a single service's evidence (picture.py). While
there is a common cause that is not proved real, nothing is restarted anywhere behind it: half
the fleet red at once is more often a cable of ours than half the fleet.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.core.fleet import Fleet
from orchestrator.core.sight import Condition, Evidence, Picture, ServiceView
from tasks.contract import Kind


class Verdict(StrEnum):
    """What is known of a common cause."""

    WAITING = "waiting"  #: a second witness is being asked
    VANTAGE = "vantage"  #: others see them, or they run and only we cannot reach them
    REAL = "real"  #: each has a witness of its own


@dataclass(frozen=True, slots=True)
class Common:
    """Machines that went at about the same time."""

    machines: tuple[str, ...]
    services: tuple[str, ...]
    since: float
    verdict: Verdict
    reason: str


def common_cause(fleet: Fleet, picture: Picture, share: float, window_s: float) -> Common | None:
    """The machines that went together, if they are so many that one cause is likely.

    `share` is the part of all machines with services that counts as many, at least two.
    """
    gone = [each for each in picture.services.values() if _gone(each)]
    if not gone:
        return None
    newest = max(each.first_bad_at or 0.0 for each in gone)
    together = [each for each in gone if (each.first_bad_at or 0.0) >= newest - window_s]
    machines = tuple(dict.fromkeys(each.machine for each in together))
    served = {each.machine for each in fleet.services.values()}
    if len(machines) < max(2, math.ceil(share * len(served))):
        return None
    verdict, reason = _verdict(picture, machines, together)
    since = min(each.first_bad_at or 0.0 for each in together)
    return Common(machines, tuple(each.service for each in together), since, verdict, reason)


def _gone(view: ServiceView) -> bool:
    """Also one that was missed only once: its neighbours' second miss must not come first."""
    return view.first_bad_at is not None and view.kind in (Kind.SILENT, Kind.CLOSED)


def _verdict(
    picture: Picture, machines: tuple[str, ...], gone: list[ServiceView]
) -> tuple[Verdict, str]:
    conditions = Counter(picture.machines[each].condition for each in machines)
    off, cut = conditions[Condition.OFF], conditions[Condition.CUT_OFF]
    seen = [each for each in gone if each.evidence is Evidence.CONTRADICTED]
    text = f"{len(machines)} machines went at once ({', '.join(machines)})"
    if seen:
        return Verdict.VANTAGE, f"{text}, but {seen[0].witness}"
    witnessed = {
        each.machine for each in gone if each.evidence is Evidence.CONFIRMED and each.second
    }
    if len(witnessed) == len(machines):
        return Verdict.REAL, f"{text}; {off} of them are off, each has a witness of its own"
    if cut and cut + off == len(machines) and cut >= off:
        return Verdict.VANTAGE, f"{text}, but their hypervisor says that {cut} of them run"
    return Verdict.WAITING, f"{text}; a second witness is awaited"
