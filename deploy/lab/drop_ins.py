"""Changing a unit of a machine as an administrator does: with a drop-in.

What lives here: writing it, taking it away, and reading what the unit says without it. What
must not: why. The files lie in the home, beside the unit that was laid over the machine, so
they outlive its reboots and can be taken away while it is off.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deploy.lab import LabFault

if TYPE_CHECKING:
    from deploy.lab.lab import Lab


def write(lab: Lab, machine: str, unit: str, name: str, text: str) -> None:
    """Lay it over the unit. What runs is left alone; systemd's own settings count at once."""
    path = _path(lab, machine, unit, name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    reload(lab, machine)


def take(lab: Lab, machine: str, unit: str, name: str) -> None:
    """Take it away; a machine that is on has to be told with `reload`."""
    _path(lab, machine, unit, name).unlink(missing_ok=True)


def reload(lab: Lab, machine: str) -> None:
    done = lab.inside(machine, ["systemctl", "daemon-reload"])
    if not done.ok:
        raise LabFault(f"{machine}: systemctl daemon-reload: {done.complaint}")


def command(lab: Lab, machine: str, unit: str) -> str:
    """The unit's own ExecStart, without any drop-in."""
    lines = (_units(lab, machine) / f"{unit}.service").read_text().splitlines()
    return next(line.partition("=")[2] for line in lines if line.startswith("ExecStart="))


def path_inside(lab: Lab, machine: str, name: str) -> str:
    """How the machine calls a file that was laid over it."""
    return f"{lab.plan['machines'][machine]['laid_inside']}/{name}"


def _units(lab: Lab, machine: str) -> Path:
    return lab.home / "laid" / machine / "units"


def _path(lab: Lab, machine: str, unit: str, name: str) -> Path:
    return _units(lab, machine) / f"{unit}.service.d" / f"50-lab-{name}.conf"
