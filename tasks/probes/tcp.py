"""tcp: something accepts connections at a port. Says nothing of whether it works."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tasks.asking import network_probe
from tasks.contract import Json
from tasks.questions import Read, TcpQuestion


@dataclass(frozen=True, slots=True)
class Arguments:
    address: str
    port: int
    seconds: float = 3.0


def pose(_read: Read, wanted: Arguments) -> TcpQuestion:
    return TcpQuestion(wanted.address, wanted.port, b"", lambda _: True, wanted.seconds)


def answered(_wanted: Arguments, _received: bytes) -> Mapping[str, Json]:
    return {"accepts": True}


def judge(_wanted: Arguments, _answer: Mapping[str, Json]) -> tuple[str, ...]:
    return ()


tcp = network_probe("tcp", "A port accepts connections", Arguments, pose, answered, judge)
