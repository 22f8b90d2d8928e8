"""From the picture to incidents: one for each cause, opened, kept up to date, resolved, closed.

What lives here: `detect`. What must not: what a single watch says (health.py) and whether
anything may be started (policy.py). Nothing is opened twice: what an incident that is not over
covers belongs to it, and what is only a consequence is shown under its cause.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.core.common import Common, Verdict
from orchestrator.core.events import Event, Observed, Recovered, Relapsed, Settled
from orchestrator.core.failure import Failure, Severity
from orchestrator.core.fleet import Fleet
from orchestrator.core.health import CAPTURES, Health, Standing
from orchestrator.core.incident import WORKING, Incident, State
from orchestrator.core.plan import Plan
from orchestrator.core.policy import Rules
from orchestrator.core.sight import Condition, Picture, ServiceView
from orchestrator.core.told import A_CONSEQUENCE_OF, PART_OF
from tasks.contract import Kind

FLEET, VANTAGE, SERVICE = "fleet", "vantage", "service:"
#: Of what we need ourselves, what can wait for the morning.
MINOR = frozenset({"own/queues", "own/backups", "own/kit"})
#: What is only another name for a broker that is down.
BROKERS = frozenset({"own/broker", "own/queues"})


@dataclass(frozen=True, slots=True)
class Open:
    """A failure that no incident covers yet."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Tell:
    """What is to be said to a known incident."""

    run: str
    event: Event


Finding = Open | Tell


def detect(
    fleet: Fleet,
    picture: Picture,
    common: Common | None,
    incidents: Sequence[Incident],
    plans: Mapping[str, Plan],
    rules: Rules,
) -> tuple[Finding, ...]:
    """Everything that has to be opened or said now. `incidents` are those that are not closed."""
    current = {each.cause: each for each in _failures(fleet, picture, common, plans, rules)}
    told = [found for each in incidents for found in _known(each, current, picture, common, rules)]
    covered = {name for each in incidents for name in _covers(each)}
    causes = {each.failure.cause for each in incidents if each.failure}
    fresh = [
        Open(each)
        for cause, each in current.items()
        if cause not in causes and not (cause.startswith(SERVICE) and each.services[0] in covered)
    ]
    return (*told, *fresh)


def _covers(incident: Incident) -> tuple[str, ...]:
    """The services that need no other incident now."""
    if incident.state in (State.RESOLVED, State.CLOSED):
        return ()
    if incident.state in WORKING:
        # What a run is about to bring back, also one that a person started.
        return tuple(brought_back(incident.plan))
    failure = incident.failure
    down = failure is not None and failure.cause.startswith((SERVICE, FLEET))
    return failure.services if failure and down else ()


def _failures(
    fleet: Fleet,
    picture: Picture,
    common: Common | None,
    plans: Mapping[str, Plan],
    rules: Rules,
) -> Iterator[Failure]:
    """What is wrong now, one for each cause."""
    behind = set(common.services) if common else set()
    if common:
        yield from _together(picture, common, plans, rules)
    for view in picture.services.values():
        if view.ill and not view.because and view.service not in behind:
            yield _of_service(fleet, picture, view, plans)
    for machine, seen in picture.machines.items():
        if seen.load and seen.load.health is Health.DEGRADED:
            yield _of_numbers(f"load:{machine}", machine, seen.load, picture.at)
    for name, standing in picture.own.items():
        # A service of the fleet that is ill has its own incident, with a remedy.
        first = fleet.broker if name in BROKERS else picture.own_needs.get(name, "")
        needed = picture.services.get(first)
        if standing.health is Health.DOWN and not (needed and needed.ill):
            minor = name in MINOR or name.startswith(CAPTURES)
            grave = Severity.WARNING if minor else Severity.CRITICAL
            yield _of_numbers(name, "", standing, picture.at, severity=grave)


def _together(
    picture: Picture, common: Common, plans: Mapping[str, Plan], rules: Rules
) -> Iterator[Failure]:
    if common.verdict is Verdict.WAITING and picture.at - common.since < rules.sure_after_s:
        return
    real = common.verdict is Verdict.REAL
    # In the order of what needs what, so that the first names the incident best.
    services = tuple(
        name
        for name, view in picture.services.items()
        if name in common.services or (real and view.ill)
    )
    yield Failure(
        FLEET if real else VANTAGE,
        services,
        "",
        Health.DOWN if real else Health.UNKNOWN,
        Severity.CRITICAL,
        common.reason,
        common.since,
        picture.at,
        scenario=scenario_for(services, plans) if real else "",
    )


def _of_service(
    fleet: Fleet, picture: Picture, view: ServiceView, plans: Mapping[str, Plan]
) -> Failure:
    service = fleet.services[view.service]
    starting = bool(view.hold) and view.kind not in (Kind.BARRED, Kind.CHOSEN)
    minor = service.optional or bool(view.fallback) or (starting and not view.critical)
    if view.over_limit:
        minor = minor or not view.critical
    elif starting and view.health is not Health.DOWN:
        minor = True
    machine = picture.machines[view.machine]
    reason = view.reason
    if machine.condition in (Condition.OFF, Condition.CUT_OFF, Condition.AGENTLESS):
        reason = f"{view.machine} is {machine.condition}: {machine.reason}"
    return Failure(
        f"{'numbers:' if view.over_limit else SERVICE}{view.service}",
        (view.service,),
        view.machine,
        view.health,
        Severity.WARNING if minor else Severity.CRITICAL,
        reason,
        view.first_bad_at or view.since,
        picture.at,
        scenario=scenario_for((view.service,), plans),
        consequences=tuple(_consequences(view.service, picture)),
        fallback=view.fallback,
    )


def _consequences(cause: str, picture: Picture) -> Iterator[str]:
    for each in picture.services.values():
        if each.because == cause and each.ill:
            yield f"{each.service}: {each.health}, {each.reason}"


def _of_numbers(
    cause: str, machine: str, standing: Standing, at: float, severity: Severity | None = None
) -> Failure:
    grave = severity or (Severity.CRITICAL if standing.critical else Severity.WARNING)
    began = standing.first_bad_at or standing.since
    name = machine or cause.partition(":")[2] or cause
    return Failure(cause, (name,), machine, standing.health, grave, standing.reason, began, at)


def scenario_for(services: Sequence[str], plans: Mapping[str, Plan]) -> str:
    """The narrowest scenario that brings all of these back; empty when there is none."""
    fitting = [
        (len(brought), name)
        for name, plan in plans.items()
        if set(services) <= (brought := brought_back(plan))
    ]
    return min(fitting)[1] if fitting else ""


def brought_back(plan: Plan) -> set[str]:
    return {c for rung in plan.rungs for branch in rung.branches for c in branch.checks}


def _known(
    incident: Incident,
    current: Mapping[str, Failure],
    picture: Picture,
    common: Common | None,
    rules: Rules,
) -> Iterator[Finding]:
    """What an incident that is not closed has to hear."""
    now_is = current.get(incident.failure.cause) if incident.failure else None
    if incident.state is State.RESOLVED:
        if now_is is not None and _worth_reopening(now_is):
            yield Tell(incident.run, Relapsed(now_is))
        elif picture.at - (incident.ended_at or 0.0) >= rules.settle_s:
            yield Tell(incident.run, Settled(f"stayed well for {_span(rules.settle_s)}"))
        return
    if incident.failure is None:
        return
    if now_is is not None:
        kept = replace(
            now_is,
            first_bad_at=incident.failure.first_bad_at,
            detected_at=incident.failure.detected_at,
        )
        if _differs(incident.failure, kept):
            yield Tell(incident.run, Observed(kept))
    elif incident.state not in WORKING:
        yield from _over(incident, incident.failure, picture, common)


def _span(seconds: float) -> str:
    return f"{seconds / 60:g} min" if seconds % 60 == 0 else f"{seconds:g} s"


def _worth_reopening(failure: Failure) -> bool:
    return failure.health is Health.DOWN or failure.severity is Severity.CRITICAL


def _differs(before: Failure, now: Failure) -> bool:
    """Numbers in a reason change with every reading; that alone is no news."""
    names = ([c.partition(":")[0] for c in each.consequences] for each in (before, now))
    first, second = names
    return first != second or (
        before.health,
        before.severity,
        bool(before.fallback),
        before.scenario,
        before.services,
    ) != (now.health, now.severity, bool(now.fallback), now.scenario, now.services)


def _over(
    incident: Incident, failure: Failure, picture: Picture, common: Common | None
) -> Iterator[Finding]:
    """The cause is gone: well again, or found to be part of something else."""
    views = [picture.services[n] for n in failure.services if n in picture.services]
    if common and set(failure.services) & set(common.services):
        if failure.cause.startswith(SERVICE) and common.verdict is Verdict.REAL:
            yield Tell(incident.run, Recovered(f"{PART_OF}many machines at once"))
        return
    above = _above(views)
    if above and not failure.cause.startswith((FLEET, VANTAGE)):
        yield Tell(incident.run, Recovered(f"{A_CONSEQUENCE_OF}{above}, whose incident goes on"))
    elif failure.cause == VANTAGE or all(v.health is Health.HEALTHY for v in views):
        yield Tell(incident.run, Recovered("seen well again"))


def _above(views: Iterable[ServiceView]) -> str:
    return next((each.because for each in views if each.because and each.ill), "")
