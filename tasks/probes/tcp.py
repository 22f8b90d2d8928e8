"""tcp: something accepts connections at a port. Says nothing of whether it works."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tasks.contract import Json
from tasks.host import Host
from tasks.operation import Probe


@dataclass(frozen=True, slots=True)
class Arguments:
    address: str
    port: int
    seconds: float = 3.0


def ask(host: Host, wanted: Arguments) -> Mapping[str, Json]:
    host.tcp(wanted.address, wanted.port, seconds=wanted.seconds)
    return {"accepts": True}


def judge(_wanted: Arguments, _answer: Mapping[str, Json]) -> tuple[str, ...]:
    return ()


tcp = Probe("tcp", "A port accepts connections", Arguments, ask, judge)
