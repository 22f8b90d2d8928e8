"""ollama: its API answers, and the models that are wanted are there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tasks.asking import network_probe
from tasks.contract import Json, Kind
from tasks.host import HttpReply
from tasks.probes.http import BARRED
from tasks.questions import HttpQuestion, Read


@dataclass(frozen=True, slots=True)
class Arguments:
    url: str  #: without the /api
    models: tuple[str, ...] = ()
    seconds: float = 5.0


def pose(_read: Read, wanted: Arguments) -> HttpQuestion:
    return HttpQuestion("GET", f"{wanted.url.rstrip('/')}/api/tags", wanted.seconds)


def answered(_wanted: Arguments, reply: HttpReply) -> Mapping[str, Json]:
    try:
        listed = json.loads(reply.body)["models"] or []
        return {"status": reply.status, "models": [str(each["name"]) for each in listed]}
    except (ValueError, KeyError, TypeError, RecursionError):
        return {"status": reply.status, "models": None}


def missing(wanted: Iterable[str], present: Iterable[str]) -> tuple[str, ...]:
    """A name without a tag means the tag `latest`, as it does to Ollama."""
    there = {_with_tag(name) for name in present}
    return tuple(name for name in wanted if _with_tag(name) not in there)


def _with_tag(name: str) -> str:
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def judge(wanted: Arguments, answer: Mapping[str, Json]) -> tuple[str, ...]:
    if answer["status"] != 200:
        return (f"{wanted.url} answers {answer['status']} when asked for its models",)
    if answer["models"] is None:
        return (f"{wanted.url} does not answer with a list of models",)
    return tuple(f"model {name} is missing" for name in missing(wanted.models, answer["models"]))


def sort(_wanted: Arguments, answer: Mapping[str, Json]) -> Kind | None:
    return Kind.BARRED if answer["status"] in BARRED else None


ollama = network_probe(
    "ollama", "Ollama answers and has its models", Arguments, pose, answered, judge, sort=sort
)
