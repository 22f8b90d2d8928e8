"""ollama.pull_missing: every model that is wanted is there; the missing ones are pulled."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tasks.contract import Json
from tasks.host import Host, HostFault
from tasks.operation import Act, ActFailed, Leave, Met, Operation, Tell, Unmet
from tasks.probes import ollama


@dataclass(frozen=True, slots=True)
class Arguments:
    url: str  #: without the /api
    models: tuple[str, ...]
    pull_seconds: float = 1200.0  #: for one model


@dataclass(frozen=True, slots=True)
class Seen:
    present: tuple[str, ...]


def look(host: Host, wanted: Arguments) -> Seen:
    answer = ollama.ollama.ask(host, ollama.Arguments(wanted.url))
    if answer["status"] != 200 or answer["models"] is None:
        complaints = ollama.judge(ollama.Arguments(wanted.url), answer)
        raise HostFault("; ".join(complaints))
    return Seen(tuple(answer["models"]))


def decide(wanted: Arguments, seen: Seen) -> Act | Leave:
    if ollama.missing(wanted.models, seen.present):
        return Act()
    return Leave(f"all models are there: {', '.join(wanted.models)}")


def act(host: Host, wanted: Arguments, tell: Tell) -> None:
    present = ollama.ollama.ask(host, ollama.Arguments(wanted.url))["models"] or ()
    for model in ollama.missing(wanted.models, present):
        _pull(host, wanted, model, tell)


def judge(wanted: Arguments, _before: Seen, now: Seen) -> Met | Unmet:
    if missing := ollama.missing(wanted.models, now.present):
        return Unmet(f"still missing: {', '.join(missing)}")
    return Met(f"all models are there: {', '.join(wanted.models)}")


def _pull(host: Host, wanted: Arguments, model: str, tell: Tell) -> None:
    """One model. An error may come in the stream, after HTTP has long said 200."""
    last: dict[str, Json] = {}
    errors: list[str] = []
    told = ""

    def heard(line: bytes) -> None:
        nonlocal told
        last.clear()
        try:
            last.update(json.loads(line))
        except (ValueError, TypeError):
            last["error"] = f"not understood: {line[:100]!r}"
        if "error" in last:
            errors.append(str(last["error"]))
        if (text := _progress(last)) != told:
            told = text
            tell(f"{model}: {text}")

    reply = host.http(
        "POST",
        f"{wanted.url.rstrip('/')}/api/pull",
        seconds=wanted.pull_seconds,
        body=json.dumps({"model": model}).encode(),
        on_line=heard,
    )
    if errors:
        raise ActFailed(f"pulling {model} failed: {errors[0]}")
    if reply.status != 200:
        raise ActFailed(f"pulling {model} was answered with {reply.status}")
    if last.get("status") != "success":
        raise ActFailed(f"pulling {model} ended early, at {last.get('status', 'nothing')!r}")


def _progress(said: dict[str, Json]) -> str:
    status = str(said.get("error") or said.get("status", ""))
    total, completed = said.get("total"), said.get("completed")
    if not isinstance(total, int) or not isinstance(completed, int) or total <= 0:
        return status
    # In tenths: a line for every chunk would bury the timeline.
    return f"{status} {min(10, completed * 10 // total) * 10} %"


pull_missing = Operation(
    "ollama.pull_missing",
    "Pull the models that Ollama lacks",
    Arguments,
    Seen,
    look,
    decide,
    act,
    judge,
    seconds=1800,
)
