"""Whether a recovery may start now, by itself: allowed, with a yes, later, or not at all.

What lives here: the rules of automatic recovery and `may_start`. What must not: finding the
failure (detection.py) and starting anything (advance.py). What a person orders is not asked
about here. Each verdict has its reasons, which go to the timeline as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.core.common import Common
from orchestrator.core.common import Verdict as Sure
from orchestrator.core.failure import Failure, Severity
from orchestrator.core.fleet import Approval
from orchestrator.core.health import Health
from orchestrator.core.incident import WORKING, Incident
from orchestrator.core.sight import Condition, Evidence, Picture, ServiceView
from tasks.contract import Kind


class Clocks(StrEnum):
    """What is done about a machine's clock that is off, where only SSH gets through."""

    NEVER = "never"
    OWN = "own"  #: its own time service is told to step it
    SET = "set"  #: and where that does not help, it is set to the coordinator's


@dataclass(frozen=True, slots=True)
class Rules:
    """What may be done without a person. Durations are seconds."""

    attempts: int = 3  #: recoveries of one service within `per_s`
    fleet_attempts: int = 10  #: of all services together
    per_s: float = 1800.0
    backoff_s: float = 10.0  #: before the second recovery of a service; doubled before each next
    settle_s: float = 600.0  #: healthy for so long, an incident is closed
    cut_off: Approval = Approval.ASK  #: power-cycling a machine that runs but cannot be reached
    clock: Clocks = Clocks.OWN
    share: float = 0.5  #: so much of the fleet gone at once has a common cause
    window_s: float = 30.0
    sure_after_s: float = 20.0  #: a second witness is awaited so long before a person is asked


@dataclass(frozen=True, slots=True)
class Window:
    """A maintenance window: watching goes on, automatic recovery does not. Empty: the fleet."""

    id: str
    target: str  #: a service, a machine, or empty for everything
    starts_at: float
    ends_at: float
    by: str
    reason: str

    def covers(self, failure: Failure, now: float) -> bool:
        named = (*failure.services, failure.machine)
        return self.starts_at <= now < self.ends_at and self.target in ("", *named)


@dataclass(frozen=True, slots=True)
class FleetState:
    """What a decision rests on, besides the incident itself."""

    picture: Picture
    common: Common | None = None
    windows: tuple[Window, ...] = ()
    working: Mapping[str, str] | None = None  #: machines that a run acts on, with its id
    begun: tuple[tuple[str, float], ...] = ()  #: each recovery's first service, and when


@dataclass(frozen=True, slots=True)
class Allowed:
    reason: str


@dataclass(frozen=True, slots=True)
class Ask:
    """Only if a person says yes."""

    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now; it is looked at again. `until` is known for some."""

    reason: str
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Forbidden:
    """Not without a person."""

    reason: str


Ruling = Allowed | Ask | Wait | Forbidden


def may_start(incident: Incident, rules: Rules, state: FleetState, now: float) -> Ruling:
    """The first rule that has something to say. An incident without failure is a person's."""
    failure = incident.failure
    if failure is None:
        return Allowed("ordered by a person")
    case = _Case(incident, failure, rules, state, now)
    for rule in _RULES:
        if ruling := rule(case):
            return ruling
    return Allowed(failure.reason)


@dataclass(frozen=True, slots=True)
class _Case:
    """One incident before the rules."""

    incident: Incident
    failure: Failure
    rules: Rules
    state: FleetState
    now: float

    @property
    def views(self) -> list[ServiceView]:
        found = self.state.picture.services
        return [found[name] for name in self.failure.services if name in found]


def _maintenance(case: _Case) -> Ruling | None:
    for window in case.state.windows:
        if window.covers(case.failure, case.now):
            what = window.target or "the fleet"
            return Wait(f"maintenance of {what} by {window.by}: {window.reason}", window.ends_at)
    return None


def _no_remedy(case: _Case) -> Ruling | None:
    failure = case.failure
    if failure.health is Health.DEGRADED and failure.severity is Severity.WARNING:
        return Wait(f"{failure.reason}; it is watched")
    if failure.scenario:
        return None
    return Forbidden(f"{failure.reason}; no scenario cures it")


def _common(case: _Case) -> Ruling | None:
    common = case.state.common
    if (
        common is None
        or common.verdict is Sure.REAL
        or not set(case.failure.services) & set(common.services)
    ):
        return None
    if common.verdict is Sure.WAITING and case.now - common.since < case.rules.sure_after_s:
        return Wait(common.reason)
    return Wait(f"frozen: {common.reason}")


def _held(case: _Case) -> Ruling | None:
    reason = case.failure.reason
    for view in case.views:
        if view.hold and (view.kind in (Kind.BARRED, Kind.CHOSEN) or view.over_limit):
            return Forbidden(f"{reason}; {view.hold}")
        if view.hold:
            return Wait(f"{reason}; {view.hold}")
        if view.because and view.because not in case.failure.services:
            return Wait(f"{view.because} comes first")
    return None


def _sure(case: _Case) -> Ruling | None:
    """Silence alone is not enough: a second witness, or a person."""
    for view in case.views:
        machine = case.state.picture.machines.get(view.machine)
        if view.evidence is Evidence.CONTRADICTED:
            return Forbidden(f"{case.failure.reason}; but {view.witness}")
        if view.evidence is Evidence.CONFIRMED or view.first_bad_at is None or machine is None:
            continue
        if machine.condition is Condition.CUT_OFF:
            return _cut_off(case.rules, f"{case.failure.reason}; {machine.reason}")
        if machine.condition is Condition.SILENT:
            return Forbidden(
                f"{case.failure.reason}; {machine.reason}, and no hypervisor tells more"
            )
        if case.now - view.first_bad_at < case.rules.sure_after_s:
            return Wait(f"{case.failure.reason}; a second witness is awaited")
        heard = f"nobody else was heard of it for {case.rules.sure_after_s:.0f} s"
        return Ask(f"{case.failure.reason}; {heard}")
    return None


def _cut_off(rules: Rules, reason: str) -> Ruling | None:
    match rules.cut_off:
        case Approval.AUTO:
            return None
        case Approval.ASK:
            return Ask(reason)
        case Approval.NEVER:
            return Forbidden(reason)


def _one_at_a_time(case: _Case) -> Ruling | None:
    for machine in machines_of(case.incident):
        run = (case.state.working or {}).get(machine)
        if run and run != case.incident.run:
            return Wait(f"run {run} is working on {machine}; one recovery at a time")
    return None


def at_work(incidents: Iterable[Incident]) -> dict[str, str]:
    """The machines that a run acts on, with its id.

    A backup holds up no recovery: an export may last for hours. The recovery takes its machine.
    """
    held = (each for each in incidents if each.state in WORKING and each.plan.urgent)
    return {machine: each.run for each in held for machine in machines_of(each)}


def machines_of(incident: Incident) -> frozenset[str]:
    """The machines that the plan acts on."""
    return frozenset(
        step.machine
        for rung in incident.plan.rungs
        for branch in rung.branches
        for step in branch.steps
    )


def _budget(case: _Case) -> Ruling | None:
    rules, reason = case.rules, case.failure.reason
    recent = [(name, at) for name, at in case.state.begun if at > case.now - rules.per_s]
    mine = sorted(at for name, at in recent if name == case.failure.budget)
    within = f"within {rules.per_s / 60:g} min"
    if len(mine) >= rules.attempts:
        spent = f"recovered {len(mine)} times {within} and failed again: its budget is spent"
        return Forbidden(f"{reason}; {spent}")
    if len(recent) >= rules.fleet_attempts:
        spent = f"{len(recent)} recoveries {within}: the fleet's budget is spent"
        return Forbidden(f"{reason}; {spent}")
    pause = rules.backoff_s * 2 ** (len(mine) - 1)
    if mine and case.now < mine[-1] + pause:
        said = f"recovered {case.now - mine[-1]:.0f} s ago, again after {pause:g} s"
        return Wait(f"{reason}; {said}", mine[-1] + pause)
    return None


_RULES: tuple[Callable[[_Case], Ruling | None], ...] = (
    _maintenance,
    _no_remedy,
    _common,
    _held,
    _sure,
    _one_at_a_time,
    _budget,
)
