"""What the tests of watching share: two machines' keys, and messages made with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from orchestrator.core.health import Use, Watch
from tasks.contract import Json, Kind, Reading
from tasks.signing import new_keys, private_key, public_key, sign
from tasks.watching import Beat, WatchLine, WatchList
from workers.executor import Identity

COORDINATOR, ONE, TWO, STRANGER = new_keys(), new_keys(), new_keys(), new_keys()
AGENTS = {"one": public_key(ONE[1]), "two": public_key(TWO[1])}
NOW = 1_000_000.0


def identity(state: Path) -> Identity:
    return Identity("one", private_key(ONE[0]), public_key(COORDINATOR[1]), state)


def line(name: str = "cache/local", **changes: Json) -> WatchLine:
    plain = WatchLine(name, "tcp", {"address": "127.0.0.1", "port": 1}, 5.0, 3.0)
    return replace(plain, **changes)


def watch(name: str = "cache/local", vantage: str = "one") -> Watch:
    arguments = {"address": "127.0.0.1", "port": 1}
    return Watch(name, Use.LOCAL, "cache", "one", "tcp", arguments, vantage)


def watch_list(*lines: WatchLine, key: str = COORDINATOR[0], **changes: Json) -> WatchList:
    plain = WatchList("one", NOW, [each.to_wire() for each in lines])
    return sign(replace(plain, **changes), private_key(key))


def reading(kind: Kind = Kind.GOOD, at: float = NOW) -> Reading:
    error = "" if kind is Kind.GOOD else "no answer"
    return Reading("tcp", "one", at, 0.01, {}, (), error, kind)


def beat(key: str = ONE[0], **changes: Json) -> Beat:
    plain = Beat("one", "boot", 1, NOW, "", 0.0, {})
    return sign(replace(plain, **changes), private_key(key))
