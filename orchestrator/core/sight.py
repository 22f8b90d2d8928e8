"""What was seen of the fleet, and what is made of it: plain values.

What lives here: the values of a picture, and the look-ups in what was seen. What must not: making
a picture of it (picture.py, seeing.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from orchestrator.core.fleet import Fleet
from orchestrator.core.health import Health, Standing, Use, Watch, as_of, forgiven
from tasks.contract import BEAT_SECONDS, Kind, Reading


class Condition(StrEnum):
    """Where a machine stands, from its hypervisor and its agent."""

    UP = "up"  #: its agent was heard
    OFF = "off"  #: its hypervisor says so
    AGENTLESS = "without agent"  #: nobody hears its agent, and its SSH server answers
    CUT_OFF = "cut off"  #: it runs, says its hypervisor, and neither of both is heard
    SILENT = "silent"  #: nobody hears its agent, and no hypervisor can be asked
    UNKNOWN = "unknown"  #: not long enough to tell


class Evidence(StrEnum):
    """Whether a second witness agrees that a service is down."""

    CONFIRMED = "confirmed"
    CONTRADICTED = "contradicted"  #: somebody else is served by it: our own sight is suspect
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class Start:
    """The last start of a service's unit that was noticed."""

    invocation: str
    at: float
    healthy: bool  #: whether it was seen healthy since; then its start is over


@dataclass(frozen=True, slots=True)
class Sight:
    """All that was seen. Times are Unix seconds."""

    watches: tuple[Watch, ...]
    standings: Mapping[str, Standing]
    beats: Mapping[str, float]  #: when each machine's agent was last heard
    hearing_since: float | None  #: since when agents can be heard; None while the broker is away
    starts: Mapping[str, Start] = field(default_factory=dict)  #: by service
    grace_s: Mapping[str, float] = field(default_factory=dict)  #: how long a start may take
    #: When a run last saw each service healthy from outside; what was bad before is over.
    verified: Mapping[str, float] = field(default_factory=dict)
    doors: frozenset[str] = frozenset()  #: silent machines whose SSH server answers
    #: When a beat of its own agent was last not believed, and why, by machine.
    doubts: Mapping[str, tuple[float, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServiceView:
    """One service now. `because` names what it is a consequence of."""

    service: str
    machine: str
    health: Health
    reason: str
    since: float
    first_bad_at: float | None = None
    kind: Kind | None = None
    because: str = ""
    evidence: Evidence = Evidence.WAITING
    witness: str = ""  #: what the evidence is
    second: bool = False  #: whether somebody else than we gave it
    hold: str = ""  #: why nothing may be started on it now, whatever its health
    over_limit: bool = False  #: ill only by its numbers, which no restart cures
    critical: bool = True
    fallback: str = ""
    last: Reading | None = None  #: the newest answer to the check that decides

    @property
    def ill(self) -> bool:
        return self.health in (Health.DOWN, Health.DEGRADED)


@dataclass(frozen=True, slots=True)
class MachineView:
    """One machine now."""

    machine: str
    condition: Condition
    reason: str
    since: float = 0.0
    load: Standing | None = None
    heard_at: float | None = None  #: when its agent was last heard


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything now."""

    at: float
    services: Mapping[str, ServiceView]
    machines: Mapping[str, MachineView]
    own: Mapping[str, Standing]  #: what we need ourselves, by watch
    #: The service that such a watch needs itself, by watch: without that it has to fail.
    own_needs: Mapping[str, str] = field(default_factory=dict)


def silent(picture: Picture) -> tuple[str, ...]:
    """The machines whose agents are known not to answer, and that are not known to be off."""
    gone = (Condition.CUT_OFF, Condition.SILENT, Condition.AGENTLESS)
    return tuple(name for name, each in picture.machines.items() if each.condition in gone)


DEAD_AFTER = 3 * BEAT_SECONDS  #: an agent that was not heard for so long is silent


class Eye:
    """The sight with look-ups by service and machine."""

    def __init__(self, fleet: Fleet, sight: Sight, now: float) -> None:
        self.fleet, self.sight, self.now = fleet, sight, now
        self.by: dict[tuple[Use, str], list[Standing]] = {}
        self.deciding: dict[str, Watch] = {}  # the check that decides, by service
        for watch in sight.watches:
            standing = as_of(watch, sight.standings.get(watch.name), now)
            if watch.service in sight.verified:
                standing = forgiven(watch, standing, sight.verified[watch.service])
            self.by.setdefault((watch.use, about(watch)), []).append(standing)
            if watch.use is Use.ANSWERS:
                self.deciding[watch.service] = watch

    def of(self, use: Use, about: str) -> Standing | None:
        found = self.by.get((use, about))
        return found[0] if found else None

    def heard_since(self, machine: str, moment: float) -> bool:
        return self.sight.beats.get(machine, float("-inf")) > moment

    def silent_for(self, machine: str) -> float:
        """How long an agent could have been heard and was not; 0 while nobody could be."""
        if self.sight.hearing_since is None:
            return 0.0
        last = max(self.sight.beats.get(machine, float("-inf")), self.sight.hearing_since)
        return self.now - last


def about(watch: Watch) -> str:
    """What a watch is about. A machine may have the name of a service."""
    if watch.service:
        return watch.service
    return f"machine {watch.machine}" if watch.machine else watch.name
