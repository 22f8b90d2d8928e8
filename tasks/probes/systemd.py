"""systemd: a unit is up, as the machine's own systemd sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from tasks import systemd as units
from tasks.asking import Probe
from tasks.contract import Json, Kind
from tasks.host import Host

#: A unit that restarted itself this often and is starting is in a loop, not slow.
LOOP_FROM = 3


@dataclass(frozen=True, slots=True)
class Arguments:
    unit: str


def ask(host: Host, wanted: Arguments) -> Mapping[str, Json]:
    return asdict(units.show(host, wanted.unit))


def judge(wanted: Arguments, answer: Mapping[str, Json]) -> tuple[str, ...]:
    trouble = units.not_up(wanted.unit, units.Unit(**answer))
    return (trouble.reason,) if trouble else ()


def sort(_wanted: Arguments, answer: Mapping[str, Json]) -> Kind | None:
    unit = units.Unit(**answer)
    disabled = unit.enabled.startswith("disabled") and unit.active == "inactive"
    if unit.load == "masked" or disabled:
        return Kind.CHOSEN
    if unit.active == "reloading":
        return Kind.BUSY
    starting = unit.active == "activating" and not unit.sub.startswith("auto-restart")
    return Kind.BUSY if starting and unit.restarts < LOOP_FROM else None


def measure(_wanted: Arguments, answer: Mapping[str, Json]) -> Mapping[str, float]:
    return {"restarts": float(answer["restarts"]), "active_for_s": answer["active_for"]}


systemd = Probe("systemd", "A unit is up", Arguments, ask, judge, sort, measure)
