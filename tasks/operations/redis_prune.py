"""redis.prune: backups of a Redis that need not be kept any more are removed from the vault.

Comes after a backup that was just proved, in the same chain: where that failed, nothing goes. A
folder loses its name first, so that a crash leaves nothing that looks like a backup.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from tasks.backup import proving
from tasks.backup.manifest import NotAManifest
from tasks.backup.retention import Dated, Keep, may_go
from tasks.host import Host
from tasks.operation import Act, ActFailed, Leave, Met, Operation, Tell, Unmet

GOING = ".going-"


@dataclass(frozen=True, slots=True)
class Arguments:
    into: str  #: the folder for this Redis's backups
    within_s: float  #: what is younger stays
    daily: int
    weekly: int
    monthly: int
    dry_run: bool = False  #: only says what would go


@dataclass(frozen=True, slots=True)
class Seen:
    backups: tuple[str, ...]
    may_go: tuple[str, ...] = ()  #: of them
    unreadable: tuple[str, ...] = ()  #: they stay: nobody knows what they are
    going: tuple[str, ...] = ()  #: what an earlier removal left


def look(host: Host, wanted: Arguments) -> Seen:
    argv = ("find", wanted.into, "-mindepth", "1", "-maxdepth", "1", "-type", "d")
    names = sorted(host.run((*argv, "-printf", "%f\\n"), seconds=30).out.split())
    known, unreadable = [], []
    backups = [each for each in names if each.startswith("redis-")]
    for name in backups:
        try:
            manifest = proving.read_manifest(host, f"{wanted.into}/{name}")
        except NotAManifest:
            unreadable.append(name)
        else:
            known.append(Dated(name, manifest.covers_until, manifest.state))
    keep = Keep(wanted.within_s, wanted.daily, wanted.weekly, wanted.monthly)
    going = tuple(each for each in names if each.startswith(GOING))
    return Seen(tuple(backups), may_go(known, keep, host.now()), tuple(unreadable), going)


def decide(wanted: Arguments, seen: Seen) -> Act | Leave:
    if wanted.dry_run and seen.may_go:
        left = len(seen.backups) - len(seen.may_go)
        would = f"{len(seen.may_go)} would go: {', '.join(seen.may_go)}"
        return Leave(f"{would}; {left} backups would be kept{_strange(seen)}")
    if not wanted.dry_run and (seen.may_go or seen.going):
        return Act()
    return Leave(f"all {len(seen.backups)} backups are to be kept{_strange(seen)}")


def _strange(seen: Seen) -> str:
    return f"; without a readable manifest: {', '.join(seen.unreadable)}" if seen.unreadable else ""


def act(host: Host, wanted: Arguments, tell: Tell) -> None:
    seen = look(host, wanted)
    tell(f"removing {', '.join(seen.may_go) or 'what an earlier removal left'}")
    for name in seen.may_go:
        _demand(host, ("mv", "-T", "--", f"{wanted.into}/{name}", f"{wanted.into}/{GOING}{name}"))
    for name in (*seen.going, *(f"{GOING}{each}" for each in seen.may_go)):
        _demand(host, ("rm", "-r", "-f", "--", f"{wanted.into}/{name}"))


def _demand(host: Host, argv: tuple[str, ...]) -> None:
    ran = host.run(argv, seconds=600)
    if not ran.ok:
        raise ActFailed(f"{argv[0]}: {ran.complaint}")


def judge(_wanted: Arguments, before: Seen, now: Seen) -> Met | Unmet:
    left = sorted({*before.may_go} & {*now.backups})
    gone = [each for each in before.may_go if each not in left]
    gone += [each.removeprefix(GOING) for each in before.going if each not in now.going]
    detail = json.dumps({"pruned": gone}) if gone else ""
    if left or now.going:
        return Unmet(f"still there: {', '.join([*left, *now.going])}", detail)
    kept = f"{len(now.backups)} backups are kept{_strange(now)}"
    return Met(f"{len(gone)} removed, {kept}", detail)


prune = Operation(
    "redis.prune",
    "Remove backups of Redis that need not be kept any more",
    Arguments,
    Seen,
    look,
    decide,
    act,
    judge,
    seconds=1800,
    in_plan=lambda wanted: (
        f"of {wanted.into} keep all of the last {wanted.within_s / 3600:g} h,",
        f"and the newest verified of each of {wanted.daily} days,",
        f"{wanted.weekly} weeks and {wanted.monthly} months",
        f"mv each other to {GOING}NAME, then rm -r",
    ),
)
