"""redis.covers: what would be loaded to have a Redis as it was after a second; changes nothing."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

from tasks.host import Host
from tasks.operation import Met, only_look

ANSWER_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Arguments:
    captured: str  #: the folder that its capture writes
    at: int | None = None  #: Unix time; else all there is


@dataclass(frozen=True, slots=True)
class Seen:
    fault: str = ""
    history: str = ""
    files: tuple[str, ...] = ()
    bytes: int = 0
    covers_until: float = 0.0
    seconds: float = 0.0  #: about, for loading it once


def look(host: Host, wanted: Arguments) -> Seen:
    given = {"into": "", "captured": wanted.captured, "address": "", "at": wanted.at}
    argv = (sys.executable, "-m", "tasks.backup.cutting", "--settings", "/dev/stdin")
    stdin = json.dumps({**given, "only_plan": True}).encode()
    ran = host.run(argv, seconds=ANSWER_SECONDS, stdin=stdin)
    if not ran.ok:
        return Seen(ran.complaint)
    said = json.loads(ran.out)
    size = said["base_bytes"] + said["log_bytes"]
    files, until = tuple(said["files"]), said["covers_until"]
    return Seen("", said["history"], files, size, until, said["seconds"])


def judge(wanted: Arguments, seen: Seen) -> Met:
    if seen.fault:
        # An answer too: somebody asked, and nothing has failed.
        return Met(f"not covered: {seen.fault}")
    files = [f"{wanted.captured}/{seen.history}/appendonlydir/{each}" for each in seen.files]
    shown = files if len(files) <= 3 else [*files[:2], "…", files[-1]]
    once = max(1.0, seen.seconds)
    said = (
        f"base and {len(files) - 1} segments of {seen.history}, {seen.bytes} bytes, cut after "
        f"second {int(seen.covers_until)}; loading takes about {once:.0f} s each time: "
        "once to cut, once to prove, once where it is restored and once to start"
    )
    return Met(said, "\n".join(shown))


covers = only_look(
    "redis.covers",
    "Say what would be loaded to have Redis as it was after a second",
    Arguments,
    Seen,
    look,
    judge,
    seconds=60,
    in_plan=lambda wanted: (
        f"which segments in {wanted.captured} have {wanted.at or 'the last second'}",
    ),
)
