"""What booting and starting really took, read from the machines' own systemd afterwards.

What lives here: reading clocks. What must not: waiting or deciding. A recovery is judged
against these figures, so they come from the machines and not from who recovered them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
