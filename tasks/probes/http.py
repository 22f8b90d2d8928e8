"""http: a page or an API answers, and its answer says what it should."""

from __future__ import annotations

import json as json_format
from collections.abc import Mapping
from dataclasses import dataclass, field

from tasks.contract import Json
from tasks.host import Host
from tasks.operation import Probe


@dataclass(frozen=True, slots=True)
class Arguments:
    url: str
    status: int = 200
    #: Dotted paths into the JSON answer, each with the value wanted or a list of allowed ones.
    json: Mapping[str, Json] = field(default_factory=dict)
    contains: str = ""
    seconds: float = 5.0


def ask(host: Host, wanted: Arguments) -> Mapping[str, Json]:
    reply = host.http("GET", wanted.url, seconds=wanted.seconds)
    text = reply.body.decode(errors="replace")
    answer: dict[str, Json] = {"status": reply.status, "begins": text[:200]}
    if wanted.contains:
        answer["contains"] = wanted.contains in text
    if wanted.json:
        answer["values"] = _values(text, wanted.json)
    return answer


def _values(text: str, paths: Mapping[str, Json]) -> dict[str, Json] | None:
    """The values that are there; None when the answer is no JSON at all."""
    try:
        document = json_format.loads(text)
    except ValueError:
        return None
    found = {}
    for path in paths:
        value, there = document, True
        for name in path.split("."):
            there = isinstance(value, dict) and name in value
            if not there:
                break
            value = value[name]
        if there:
            found[path] = value
    return found


def judge(wanted: Arguments, answer: Mapping[str, Json]) -> tuple[str, ...]:
    complaints = []
    if answer["status"] != wanted.status:
        complaints.append(f"{wanted.url} answers {answer['status']}, not {wanted.status}")
    if wanted.contains and not answer["contains"]:
        complaints.append(f"{wanted.url} does not contain {wanted.contains!r}")
    if wanted.json and answer["values"] is None:
        complaints.append(f"{wanted.url} does not answer with JSON")
    elif wanted.json:
        complaints += [
            complaint
            for path, value in wanted.json.items()
            if (complaint := _differs(path, value, answer["values"]))
        ]
    return tuple(complaints)


def _differs(path: str, wanted: Json, values: Mapping[str, Json]) -> str:
    if path not in values:
        return f"there is no {path} in the answer"
    allowed = wanted if isinstance(wanted, list | tuple) else (wanted,)
    if values[path] in allowed:
        return ""
    return f"{path} is {values[path]!r}, not {' or '.join(repr(each) for each in allowed)}"


http = Probe("http", "A page or an API answers as expected", Arguments, ask, judge)
