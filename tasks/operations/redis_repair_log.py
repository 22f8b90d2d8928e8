"""redis.repair_log: the append-only log of a Redis that cannot start, cut where its damage begins.

For a Redis whose newest writes may be lost, as our own broker's may: what it has lost is ordered
again. All from the first damage on is cut; before that the whole log is copied aside, and the copy
stays. A Redis that runs is left alone: it has loaded its log, or is about to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from posixpath import join

from tasks import redis_folder, systemd
from tasks.host import Host
from tasks.operation import Act, ActFailed, Leave, Met, Operation, Refuse, Tell, Unmet

CHECKERS = ("valkey-check-aof", "redis-check-aof")
CHECK_SECONDS, COPY_SECONDS = 60.0, 120.0
_KEPT = re.compile(r"[^/]+\.damaged-\d+")


@dataclass(frozen=True, slots=True)
class Arguments:
    unit: str
    data: str = ""  #: the folder with its data, where unit and configuration do not tell it


@dataclass(frozen=True, slots=True)
class Seen:
    manifest: str = ""  #: the log's table of contents
    checker: str = ""
    damage: str = ""  #: what the checker complains of; empty: the log is sound
    kept: tuple[str, ...] = ()  #: damaged logs that were copied aside
    nothing: str = ""  #: why there is nothing to be repaired, or nothing known


def look(host: Host, wanted: Arguments) -> Seen:
    its = redis_folder.server(host, wanted.unit, wanted.data)
    if its.pid:
        return Seen(nothing=f"{wanted.unit} runs, pid {its.pid}, and has its log in use")
    if its.unknown:
        return Seen(nothing=its.unknown)
    names = [each.name for each in redis_folder.entries(host, its.folder)]
    kept = sorted(each for each in names if _KEPT.fullmatch(each))
    logs = [
        each for each in names if each.endswith(".manifest") and each.partition("/")[0] not in kept
    ]
    if not logs:
        return Seen(nothing=f"there is no append-only log in {its.folder}")
    found = host.run(
        ("sh", "-c", " || ".join(f"command -v {each}" for each in CHECKERS)),
        seconds=systemd.ANSWER_SECONDS,
    )
    checker, manifest = found.out.partition("\n")[0], join(its.folder, logs[0])
    places = tuple(join(its.folder, each) for each in kept)
    if not checker:
        return Seen(manifest, kept=places, nothing=f"none of {', '.join(CHECKERS)} is there")
    ran = host.run((checker, manifest), seconds=CHECK_SECONDS)
    last = (ran.out.strip() or ran.complaint).splitlines()[-1:]
    return Seen(manifest, checker, "" if ran.ok else "".join(last), places)


def decide(wanted: Arguments, seen: Seen) -> Act | Leave | Refuse:
    if seen.nothing:
        return Leave(seen.nothing)
    return Act() if seen.damage else Leave(f"the log of {wanted.unit} is sound")


def act(host: Host, wanted: Arguments, tell: Tell) -> None:
    seen = look(host, wanted)
    folder = seen.manifest.rpartition("/")[0]
    aside = f"{folder}.damaged-{host.now():.0f}"
    _do(host, COPY_SECONDS, "cp", "-a", "--", folder, aside)
    tell(f"{seen.damage}; the whole log was copied to {aside} before it is cut")
    # It asks, and has no option against that.
    answered = ("sh", "-c", 'echo y | "$@"', "sh", seen.checker, "--fix", seen.manifest)
    _do(host, CHECK_SECONDS, *answered)


def _do(host: Host, seconds: float, *argv: str) -> None:
    ran = host.run(argv, seconds=seconds)
    if not ran.ok:
        raise ActFailed(f"{argv[0]}: {ran.complaint}")


def judge(wanted: Arguments, before: Seen, now: Seen) -> Met | Unmet:
    if now.damage:
        return Unmet(f"the log of {wanted.unit} is still damaged: {now.damage}", final=True)
    new = [each for each in now.kept if each not in before.kept]
    kept = f"; as it was, it is kept in {', '.join(new)}" if new else ""
    return Met(f"the log of {wanted.unit} was cut where its damage began{kept}")


def in_plan(wanted: Arguments) -> tuple[str, ...]:
    when = f"if {wanted.unit} does not run and its append-only log is damaged"
    return (f"{when}: cp -a of the log's folder aside, then redis-check-aof --fix",)


repair_log = Operation(
    "redis.repair_log",
    "Cut the append-only log of a Redis that cannot start where its damage begins, keeping a copy",
    Arguments,
    Seen,
    look,
    decide,
    act,
    judge,
    seconds=240,
    in_plan=in_plan,
)
