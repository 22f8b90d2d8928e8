"""From readings to health: M bad of the last N is down, K good in a row is back.

What lives here: one watch, how it stands, and `judge`, the only way in which that changes.
What must not: what follows for a service (picture.py), and asking anything.

An answer that is not from the service counts as no answer. An answer that says "not yet" or
"not you" is neither good nor bad: it ends a row of good ones and adds nothing to the bad.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from tasks.contract import Json, Kind, Reading

COORDINATOR = "coordinator"  #: the vantage that is no machine's agent
CAPTURES = "own/capture-"  #: so begin the names of the watches of captures, before the job's
#: So many intervals without a reading are "no data", which is an alarm of its own.
MISSED_INTERVALS = 3


class Health(StrEnum):
    """The verdict on a service, a machine or a watch."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"  #: serves, but not as it should
    DOWN = "down"
    UNKNOWN = "unknown"  #: nothing was seen that would tell


class Use(StrEnum):
    """What a watch's answers are good for."""

    ANSWERS = "answers"  #: decides whether the service is up, as its users see it
    LOCAL = "local"  #: the same question, asked on the service's own machine
    NEIGHBOUR = "neighbour"  #: whether another machine reaches it: the second vantage
    UNIT = "unit"  #: what the machine's systemd says
    LOAD = "load"  #: numbers against thresholds, and nothing else
    ALSO = "also"  #: a further check: the service works, but not all of it
    POWER = "power"  #: what the hypervisor says of the machine
    FALLBACK = "fallback"  #: whether users are served without the service
    OWN = "own"  #: something that we need ourselves


@dataclass(frozen=True, slots=True)
class Limit:
    """From which value on a metric is a warning, and from which on it is critical."""

    warning: float
    critical: float


@dataclass(frozen=True, slots=True)
class Rule:
    """How many readings decide. Defaults: 2 bad of 3 are down, 2 good in a row are back."""

    bad: int = 2
    of: int = 3
    good: int = 2
    slow: int = 3  #: so many over a limit, of as many plus two, are degraded


@dataclass(frozen=True, slots=True)
class Watch:
    """One question that is asked again and again from one vantage. Times are seconds."""

    name: str  #: unique in the fleet, as redis/answers
    use: Use
    service: str  #: what it is about; empty for a machine or for ourselves
    machine: str
    probe: str
    arguments: Mapping[str, Json]
    vantage: str = COORDINATOR
    interval_s: float = 5.0
    timeout_s: float = 3.0
    rule: Rule = Rule()
    limits: Mapping[str, Limit] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sample:
    """What is remembered of one reading."""

    at: float
    kind: Kind
    over: str = ""  #: the limits that it was over, in words
    critical: bool = False  #: one of them the critical one


@dataclass(frozen=True, slots=True)
class Standing:
    """How a watch stands after its readings so far."""

    watch: str
    health: Health = Health.UNKNOWN
    reason: str = "not asked yet"
    since: float = 0.0
    first_bad_at: float | None = None  #: the first bad one since it was last healthy
    samples: tuple[Sample, ...] = ()  #: the newest last
    good_in_row: int = 0
    critical: bool = False  #: degraded by a critical limit, not by a warning
    last: Reading | None = None

    @property
    def kind(self) -> Kind | None:
        return self.last.kind if self.last else None

    @property
    def suspect(self) -> bool:
        """Whether anything bad was seen since it was last healthy."""
        return self.first_bad_at is not None


def is_bad(kind: Kind) -> bool:
    return kind in (Kind.BAD, Kind.CLOSED, Kind.SILENT, Kind.CHOSEN)


def judge(watch: Watch, before: Standing | None, reading: Reading) -> Standing:
    """How the watch stands after one more reading. The clock is the reading's own."""
    before = before or Standing(watch.name, since=reading.asked_at)
    if before.last and reading.asked_at < before.last.asked_at:
        return before
    if reading.kind is Kind.UNKNOWN:
        # The asking side is at fault, so nothing was learned of the service.
        blind = replace(before, last=reading, good_in_row=0)
        return _turned(blind, Health.UNKNOWN, reading.reason, reading.asked_at)
    over, critical = _over(watch.limits, reading)
    sample = Sample(reading.asked_at, reading.kind, over, critical)
    kept = max(watch.rule.of, watch.rule.slow + 2)
    samples = (*before.samples, sample)[-kept:]
    good = before.good_in_row + 1 if reading.kind is Kind.GOOD else 0
    first_bad = before.first_bad_at
    if is_bad(reading.kind) and first_bad is None:
        first_bad = reading.asked_at
    seen = replace(before, samples=samples, good_in_row=good, first_bad_at=first_bad, last=reading)
    return _settled(watch, seen, reading)


def _over(limits: Mapping[str, Limit], reading: Reading) -> tuple[str, bool]:
    said, critical = [], False
    for metric, limit in limits.items():
        value = reading.metrics.get(metric)
        if value is None or value <= limit.warning:
            continue
        worse = value > limit.critical
        critical = critical or worse
        word, bound = ("critical", limit.critical) if worse else ("warning", limit.warning)
        said.append(f"{metric.replace('_', ' ')} is {value:.4g}, over the {word} {bound:g}")
    return "; ".join(said), critical


def _settled(watch: Watch, seen: Standing, reading: Reading) -> Standing:
    """The verdict that the samples give, or the one there was."""
    rule = watch.rule
    bad = sum(is_bad(each.kind) for each in seen.samples[-rule.of :])
    if is_bad(reading.kind) and bad >= rule.bad:
        return _turned(seen, Health.DOWN, reading.reason, reading.asked_at)
    if reading.kind in (Kind.BUSY, Kind.BARRED):
        # One that was down and now says "not yet" lives; what it says is the verdict.
        return _turned(seen, Health.DEGRADED, reading.reason, reading.asked_at)
    if reading.kind is not Kind.GOOD:
        return seen
    fresh = seen.health in (Health.HEALTHY, Health.UNKNOWN)
    if not fresh and seen.good_in_row < rule.good:
        return seen
    slow = [each for each in seen.samples[-(rule.slow + 2) :] if each.over]
    if len(slow) >= rule.slow and seen.samples[-1].over:
        critical = sum(each.critical for each in slow) >= rule.slow
        turned = _turned(seen, Health.DEGRADED, slow[-1].over, reading.asked_at)
        return replace(turned, critical=critical, first_bad_at=seen.first_bad_at or slow[0].at)
    if seen.health is Health.DEGRADED and slow and seen.samples[-1].over:
        return seen
    healthy = _turned(seen, Health.HEALTHY, reading.reason, reading.asked_at)
    return replace(healthy, first_bad_at=None, critical=False)


def _turned(seen: Standing, health: Health, reason: str, at: float) -> Standing:
    since = seen.since if seen.health is health else at
    return replace(seen, health=health, reason=reason, since=since)


def as_of(watch: Watch, standing: Standing | None, now: float) -> Standing:
    """The standing as it may be believed now: without fresh readings it is unknown."""
    if standing is None or standing.last is None:
        return standing or Standing(watch.name)
    age = _age(standing, now)
    if age <= _patience(watch):
        return standing
    reason = f"no data for {age:.0f} s from {watch.vantage}"
    if standing.health is not Health.UNKNOWN:
        reason += f"; before that {standing.health}: {standing.reason}"
    return replace(standing, health=Health.UNKNOWN, reason=reason, good_in_row=0)


def forgiven(watch: Watch, standing: Standing, verified_at: float) -> Standing:
    """The standing without what was bad before a run saw the service healthy from outside."""
    if not standing.suspect or standing.health not in (Health.DOWN, Health.UNKNOWN):
        return standing
    since = [each.at for each in standing.samples if is_bad(each.kind) and each.at > verified_at]
    if len(since) >= watch.rule.bad:
        return standing
    reason = "verified from outside, and not asked often enough since"
    first = since[0] if since else None
    # Who needs it has time to follow from then on.
    return replace(
        standing, health=Health.UNKNOWN, reason=reason, since=verified_at, first_bad_at=first
    )


def without_data(
    watches: Iterable[Watch], standings: Mapping[str, Standing], now: float
) -> tuple[str, ...]:
    """The watches that should have been answered and were not, by name."""
    return tuple(
        each.name
        for each in watches
        if (standing := standings.get(each.name)) and _age(standing, now) > _patience(each)
    )


def _age(standing: Standing, now: float) -> float:
    return now - standing.last.asked_at if standing.last else 0.0


def _patience(watch: Watch) -> float:
    return MISSED_INTERVALS * watch.interval_s + watch.timeout_s
