"""What booting and starting really took, read from the machines' own systemd afterwards.

What lives here: reading clocks. What must not: waiting or deciding. A recovery is judged
against these figures, so they come from the machines and not from who recovered them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.lab.machines import AGENT

if TYPE_CHECKING:
    from deploy.lab.lab import Lab

CLOCKS = ("InactiveExitTimestampMonotonic", "ActiveEnterTimestampMonotonic")


@dataclass(frozen=True, slots=True)
class BootTime:
    """What one machine needed for its last boot, and its services for their last start."""

    machine: str
    boot_s: float | None  #: from being powered to its multi-user target; None: not there yet
    units: Mapping[str, float]  #: from a unit's start to active, for those that are active


def boot_times(lab: Lab) -> list[BootTime]:
    return [_boot_time(lab, name) for name in lab.machines if lab.power_of(name) == "running"]


def _boot_time(lab: Lab, machine: str) -> BootTime:
    clocks = _clocks(lab, machine, ("multi-user.target", *lab.machines[machine].all_units))
    _, reached = clocks.pop("multi-user.target")
    units = {
        unit: active - began for unit, (began, active) in clocks.items() if active >= began > 0
    }
    spawned = float(lab.machine(machine).told()["spawned"])
    return BootTime(machine, reached - spawned if reached else None, units)


def _clocks(lab: Lab, machine: str, units: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    """(left inactive, became active) in seconds of CLOCK_MONOTONIC, which all share."""
    show = ["systemctl", "show", f"--property=Id,{','.join(CLOCKS)}", "--", *units]
    said = lab.inside(machine, show).out.split("\n\n")
    found: dict[str, tuple[float, float]] = {}
    for unit, block in zip(units, said, strict=False):
        pairs = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        began, active = (int(pairs.get(clock) or 0) / 1e6 for clock in CLOCKS)
        found[unit] = (began, active)
    return found


@dataclass(frozen=True, slots=True)
class CriticalPath:
    """The machines that hold each other up the longest, and for how long."""

    machines: tuple[str, ...]
    seconds: float


def critical_path(times: Iterable[BootTime], needs: Mapping[str, Collection[str]]) -> CriticalPath:
    """The longest path over what must come before what, of each machine's boot and starts.

    No recovery that keeps the order can be faster than this. `needs` has no circle; of a
    machine only its services count, one after another, for its agent starts while it boots.
    """
    own = {
        each.machine: (each.boot_s or 0.0)
        + sum(seconds for unit, seconds in each.units.items() if unit != AGENT)
        for each in times
    }

    def until(machine: str) -> CriticalPath:
        before = max(
            (until(each) for each in needs[machine]),
            key=lambda path: path.seconds,
            default=CriticalPath((), 0.0),
        )
        return CriticalPath((*before.machines, machine), before.seconds + own[machine])

    return max((until(machine) for machine in needs), key=lambda path: path.seconds)
