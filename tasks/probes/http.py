"""http: a page or an API answers, and its answer says what it should.

An answer of another service, or one whose body says that it is ill, counts as none; one of a
service that still initialises, or that wants a login, shows that it lives.
"""

from __future__ import annotations

import json as json_format
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tasks import schema
from tasks.arguments import BadArguments
from tasks.asking import network_probe
from tasks.contract import Json, Kind
from tasks.host import HttpReply
from tasks.questions import HttpQuestion, Read, read_trust, trust_faults

#: What a server answers to somebody whom it does not let in.
BARRED = (401, 403)
#: A long list of things that are alike would only bury the first.
MISFITS_TOLD = 5


@dataclass(frozen=True, slots=True)
class Arguments:
    url: str
    status: int = 200
    #: Dotted paths into the JSON answer, each with the value wanted or a list of allowed ones.
    json: Mapping[str, Json] = field(default_factory=dict)
    keys: tuple[str, ...] = ()  #: dotted paths that must be there, whatever their value
    body_schema: Mapping[str, Json] = field(default_factory=dict)  #: as in tasks/schema.py
    contains: str = ""
    #: What the JSON answer's `status` says of an ill service, unless `json` has `status`.
    unhealthy: tuple[str, ...] = ("unhealthy", "error", "down", "failed")
    #: Dotted paths, each with the value or values that mean: still initialising.
    busy: Mapping[str, Json] = field(default_factory=dict)
    busy_status: tuple[int, ...] = ()  #: HTTP status codes that mean the same
    ca_file: str = ""  #: on the machine that asks; where the system's CAs do not do
    pin_sha256: str = ""  #: of the one certificate that counts
    seconds: float = 5.0

    def __post_init__(self) -> None:
        tls = self.url.lower().startswith("https:")
        faults = trust_faults(self.ca_file, self.pin_sha256, tls=tls)
        if faults := faults + schema.misuse(self.body_schema, "body_schema"):
            raise BadArguments(faults)


def pose(read: Read, wanted: Arguments) -> HttpQuestion:
    trust = read_trust(read, wanted.ca_file, wanted.pin_sha256)
    return HttpQuestion("GET", wanted.url, wanted.seconds, trust=trust)


def answered(wanted: Arguments, reply: HttpReply) -> Mapping[str, Json]:
    text = reply.body.decode(errors="replace")
    answer: dict[str, Json] = {"status": reply.status, "begins": text[:200]}
    if wanted.contains:
        answer["contains"] = wanted.contains in text
    wants_json = _wants_json(wanted)
    if not wants_json and not (wanted.unhealthy and text.lstrip()[:1] == "{"):
        return answer
    try:
        document = json_format.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        return answer | {"values": None} if wants_json else answer
    if _says_ill(wanted, document):
        answer["says"] = document["status"]
    if paths := {**wanted.json, **wanted.busy}:
        answer["values"] = _values(document, paths)
    if wanted.keys:
        there = _values(document, wanted.keys)
        answer["lacks"] = [path for path in wanted.keys if path not in there]
    if wanted.body_schema:
        answer["misfits"] = list(schema.misfits(wanted.body_schema, document))[:MISFITS_TOLD]
    return answer


def _wants_json(wanted: Arguments) -> bool:
    return bool(wanted.json or wanted.keys or wanted.body_schema or wanted.busy)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _finite(number: str) -> float:
    # 1e999 becomes Infinity, which no reading can carry to the coordinator.
    if math.isfinite(value := float(number)):
        return value
    raise ValueError(f"{number} is too large")


def _says_ill(wanted: Arguments, document: Json) -> bool:
    if not isinstance(document, dict) or "status" in wanted.json:
        return False
    status = document.get("status")
    return isinstance(status, str) and status.lower() in (each.lower() for each in wanted.unhealthy)


def _values(document: Json, paths: Iterable[str]) -> dict[str, Json]:
    """The values that are there."""
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
    status, url = answer["status"], wanted.url
    if initialising := _initialising(wanted, answer):
        return (f"{url} is still initialising: {initialising}",)
    if status != wanted.status and status in BARRED:
        return (f"{url} lives, but does not let this probe in: it answers {status}",)
    complaints = []
    if status != wanted.status:
        complaints.append(f"{url} answers {status}, not {wanted.status}")
    if wanted.contains and not answer["contains"]:
        complaints.append(f"{url} does not contain {wanted.contains!r}")
    if "says" in answer:
        complaints.append(f"{url} says of itself that its status is {answer['says']!r}")
    if _wants_json(wanted) and answer.get("values", {}) is None:
        complaints.append(f"{url} does not answer with JSON")
        return tuple(complaints)
    complaints += [
        complaint
        for path, value in wanted.json.items()
        if (complaint := _differs(path, value, answer["values"]))
    ]
    complaints += [f"there is no {path} in the answer" for path in answer.get("lacks", ())]
    return (*complaints, *answer.get("misfits", ()))


def _initialising(wanted: Arguments, answer: Mapping[str, Json]) -> str:
    """How it says that it is, or nothing."""
    if answer["status"] in wanted.busy_status:
        return f"it answers {answer['status']}"
    values = answer.get("values") or {}
    for path, value in wanted.busy.items():
        if path in values and values[path] in _allowed(value):
            return f"{path} is {values[path]!r}"
    return ""


def _allowed(wanted: Json) -> list[Json] | tuple[Json, ...]:
    return wanted if isinstance(wanted, list | tuple) else (wanted,)


def _differs(path: str, wanted: Json, values: Mapping[str, Json]) -> str:
    if path not in values:
        return f"there is no {path} in the answer"
    allowed = _allowed(wanted)
    if values[path] in allowed:
        return ""
    return f"{path} is {values[path]!r}, not {' or '.join(repr(each) for each in allowed)}"


def sort(wanted: Arguments, answer: Mapping[str, Json]) -> Kind | None:
    if _initialising(wanted, answer):
        return Kind.BUSY
    if answer["status"] != wanted.status and answer["status"] in BARRED:
        return Kind.BARRED
    return None


http = network_probe(
    "http", "A page or an API answers as expected", Arguments, pose, answered, judge, sort=sort
)
