"""systemd: a unit is up, as the machine's own systemd sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from tasks import systemd as units
from tasks.contract import Json
from tasks.host import Host
from tasks.operation import Probe


@dataclass(frozen=True, slots=True)
class Arguments:
    unit: str


def ask(host: Host, wanted: Arguments) -> Mapping[str, Json]:
    return asdict(units.show(host, wanted.unit))


def judge(wanted: Arguments, answer: Mapping[str, Json]) -> tuple[str, ...]:
    trouble = units.not_up(wanted.unit, units.Unit(**answer))
    return (trouble.reason,) if trouble else ()


systemd = Probe("systemd", "A unit is up", Arguments, ask, judge)
