"""capture: whether a Redis is being captured, and how far behind; asked on the vault.

Reads what the capture and the last proof wrote down. A dead capture says nothing any more, so
the age of its last word counts, and never the word alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from tasks.asking import Probe
from tasks.contract import Json, Kind
from tasks.host import Host

#: It says something every second.
DEAD_SECONDS = 15.0
#: A source that makes a dump ready may be silent for a minute before the capture gives it up.
SILENT_SECONDS = 75.0
#: A beat must stay small; the oldest and the newest ranges say the most.
RANGES = 8


@dataclass(frozen=True, slots=True)
class Arguments:
    captured: str  #: the folder that the capture writes
    lag_s: float = 15.0  #: so far behind is too far


def ask(host: Host, wanted: Arguments) -> Mapping[str, Json]:
    said, proved = (_read(host, f"{wanted.captured}/{n}.json") for n in ("status", "verified"))
    now, until = host.now(), said.get("covers_until")
    ranges = said.get("histories", [])
    if len(ranges) > RANGES:
        ranges = [ranges[0], *ranges[1 - RANGES :]]
    return {
        "state": said.get("state", ""),
        "reason": str(said.get("reason", ""))[:400],
        "age_s": round(now - said["at"], 3) if "at" in said else None,
        "history": said.get("history", ""),
        "lag_bytes": said.get("lag_bytes"),
        # A clock that was put back must not make it negative.
        "lag_seconds": None if until is None else round(max(0.0, now - until), 3),
        "covers_until": until,
        "ranges": ranges,
        "verified_until": proved.get("covers_until"),
        "verified_backup": proved.get("backup", ""),
        "last_fault": str(said.get("last_fault", ""))[:400],
        "last_fault_at": said.get("last_fault_at"),
    }


def _read(host: Host, path: str) -> dict[str, Json]:
    try:
        said = json.loads(host.read(path) or "{}")
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def judge(wanted: Arguments, answer: Mapping[str, Json]) -> tuple[str, ...]:
    state, age, lag = answer["state"], answer["age_s"], answer["lag_seconds"]
    if not state or age is None:
        return (f"nothing was captured in {wanted.captured} yet: start the capture there",)
    if state == "stopped":
        return (f"the capture was told to stop {age:.0f} s ago, and does not run",)
    if age > _patience(state):
        return (f"the capture has said nothing for {age:.0f} s: it is dead, or hangs",)
    if state == "syncing":
        return (answer["reason"],)
    if state != "following":
        return (f"the capture is {state}: {answer['reason']}",)
    if lag is not None and lag > wanted.lag_s:
        return (f"the capture is {lag:.0f} s behind, {answer['lag_bytes']} bytes",)
    return ()


def sort(_wanted: Arguments, answer: Mapping[str, Json]) -> Kind | None:
    state, age = answer["state"], answer["age_s"]
    syncs = state == "syncing" and age is not None and age <= _patience(state)
    return Kind.BUSY if syncs else None


def _patience(state: str) -> float:
    return SILENT_SECONDS if state == "syncing" else DEAD_SECONDS


def measure(_wanted: Arguments, answer: Mapping[str, Json]) -> Mapping[str, float]:
    found = {name: answer[name] for name in ("lag_seconds", "lag_bytes", "age_s")}
    return {name: float(value) for name, value in found.items() if value is not None}


capture = Probe(
    "capture",
    "A Redis is being captured, and how far behind",
    Arguments,
    ask,
    judge,
    sort=sort,
    measure=measure,
)
