"""What a probe is, and how its answer becomes a reading.

What lives here: the shape of a probe, putting its question through a Host, and the one function
from a reply to a Reading. What must not: any particular service, and what follows from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tasks.arguments import read_arguments
from tasks.contract import Json, Kind, Reading
from tasks.host import Host, HostFault, HttpReply, NobodyListens, NotAsked
from tasks.questions import HttpQuestion, Question, Read

A = TypeVar("A")  # the arguments, a frozen dataclass

Answer = Mapping[str, Json]  #: what a probe makes of a reply: plain, and survives JSON


def _as_it_is(_arguments: object, answer: Answer) -> Answer:
    return answer


def _none_given(_arguments: object, _answer: Answer) -> None:
    return None


def _nothing(_arguments: object, _answer: Answer) -> Mapping[str, float]:
    return {}


@dataclass(frozen=True, slots=True)
class Probe(Generic[A]):
    """A question to a service. `judge` gives complaints; none means healthy.

    All but `ask` and `pose` are pure. None of them raises on anything a stranger may answer.
    """

    name: str
    summary: str
    arguments: type[A]
    ask: Callable[[Host, A], Answer]
    judge: Callable[[A, Answer], tuple[str, ...]]
    #: The kind of an answer with complaints; None where it is plainly bad.
    sort: Callable[[A, Answer], Kind | None] = _none_given
    #: Numbers for thresholds. `response_seconds` comes by itself.
    measure: Callable[[A, Answer], Mapping[str, float]] = _nothing
    #: Of a network probe: its question as a value, and what a reply (HttpReply, or the bytes
    #: received) says. Where `pose` is None only the machine itself can be asked.
    pose: Callable[[Read, A], Question] | None = None
    answered: Callable[[A, Any], Answer] = _as_it_is


def network_probe(
    name: str,
    summary: str,
    arguments: type[A],
    pose: Callable[[Read, A], Question],
    answered: Callable[[A, Any], Answer],
    judge: Callable[[A, Answer], tuple[str, ...]],
    *,
    sort: Callable[[A, Answer], Kind | None] = _none_given,
    measure: Callable[[A, Answer], Mapping[str, float]] = _nothing,
) -> Probe[A]:
    """A probe whose question anyone can put who reaches the service."""

    def ask(host: Host, bound: A) -> Answer:
        return answered(bound, put(host, pose(host.read, bound)))

    return Probe(name, summary, arguments, ask, judge, sort, measure, pose, answered)


def put(host: Host, question: Question) -> HttpReply | bytes:
    """Ask from this host; no reply raises HostFault."""
    if isinstance(question, HttpQuestion):
        return host.http(
            question.method,
            question.url,
            seconds=question.seconds,
            body=question.body,
            trust=question.trust,
        )
    return host.tcp(
        question.address,
        question.port,
        seconds=question.seconds,
        send=question.send,
        complete=question.complete,
        trust=question.trust,
    )


def take_reading(
    host: Host, probe: Probe[Any], arguments: Mapping[str, Json], *, vantage: str
) -> Reading:
    """Ask once. No answer is a reading too, with `error` set."""
    bound = read_arguments(probe.arguments, arguments)
    asked_at = host.now()
    reply: HttpReply | bytes | Answer | HostFault
    try:
        if probe.pose:
            reply = put(host, probe.pose(host.read, bound))
        else:
            reply = probe.ask(host, bound)
    except HostFault as fault:
        reply = fault
    return reading_of(
        probe,
        bound,
        vantage=vantage,
        asked_at=asked_at,
        latency_s=host.now() - asked_at,
        reply_or_fault=reply,
    )


def reading_of(
    probe: Probe[A],
    arguments: A,
    *,
    vantage: str,
    asked_at: float,
    latency_s: float,
    reply_or_fault: HttpReply | bytes | Answer | HostFault,
) -> Reading:
    """The reading, whoever asked. Of a probe that is asked on its machine the reply is the answer.

    A wall clock that was put back meanwhile must not make a latency negative.
    """
    latency_s = max(0.0, latency_s)
    if isinstance(reply_or_fault, HostFault):
        kind, error = _kind_of(reply_or_fault), str(reply_or_fault)
        return Reading(probe.name, vantage, asked_at, latency_s, kind=kind, error=error)
    answer = probe.answered(arguments, reply_or_fault)
    complaints = probe.judge(arguments, answer)
    kind = (probe.sort(arguments, answer) or Kind.BAD) if complaints else Kind.GOOD
    metrics = {"response_seconds": latency_s, **probe.measure(arguments, answer)}
    return Reading(
        probe.name, vantage, asked_at, latency_s, answer, complaints, kind=kind, metrics=metrics
    )


def _kind_of(fault: HostFault) -> Kind:
    match fault:
        case NobodyListens():
            return Kind.CLOSED
        case NotAsked():
            return Kind.UNKNOWN
        case _:
            return Kind.SILENT
