"""Making an operation of a probe: ask until the answer is the one wanted, or until the deadline.

What lives here: the one way in which a question becomes a step. What must not: any question.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from tasks.contract import Json, Kind
from tasks.host import Host
from tasks.operation import (
    Act,
    Leave,
    Met,
    Operation,
    Probe,
    Refuse,
    Unmet,
    only_look,
    take_reading,
)

A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Asked:
    """One reading, as much of it as is judged."""

    answer: Mapping[str, Json]
    complaints: tuple[str, ...]
    error: str
    barred: bool = False  #: it lives and does not let us in: no waiting mends that


def ask(host: Host, probe: Probe[Any], arguments: Mapping[str, Json]) -> Asked:
    reading = take_reading(host, probe, arguments, vantage="")
    return Asked(reading.answer, reading.complaints, reading.error, reading.kind is Kind.BARRED)


def go_on(_arguments: object, _seen: Asked) -> Act | Leave | Refuse:
    return Act()


def verify(
    name: str,
    summary: str,
    probe: Probe[A],
    met: Callable[[A, Mapping[str, Json]], str],
    *,
    seconds: float,
    decide: Callable[[A, Asked], Act | Leave | Refuse] = go_on,
    in_plan: Callable[[A], tuple[str, ...]] | None = None,
) -> Operation[A, Asked]:
    """`met` says in words what a good answer shows."""

    def look(host: Host, wanted: A) -> Asked:
        return ask(host, probe, asdict(wanted))  # type: ignore[call-overload]

    def judge(wanted: A, now: Asked) -> Met | Unmet:
        if now.error or now.complaints:
            return Unmet(now.error or "; ".join(now.complaints), final=now.barred)
        return Met(met(wanted, now.answer))

    return only_look(
        name,
        summary,
        probe.arguments,
        Asked,
        look,
        judge,
        seconds=seconds,
        decide=decide,
        in_plan=in_plan,
    )
