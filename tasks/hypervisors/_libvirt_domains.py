"""A libvirt machine as virsh tells of it: found by its name, and what its state means.

What lives here: reading, and never for another machine than the one that is meant. What must
not: changing anything (libvirt.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tasks.hypervisors import Power
from tasks.hypervisors._virsh import NO_SUCH_NAME, SaidNo, Virsh

PATTERN = re.compile(r"[*?\[\]]|^\s*$")
NAMES_SHOWN = 20
LIST = ("list", "--all", "--uuid", "--name")

#: A crashed domain is on, and its guest is not: kept for whoever wants to know why.
POWERS = {
    "running": Power.RUNNING,
    "idle": Power.RUNNING,
    "paused": Power.PAUSED,
    "pmsuspended": Power.PAUSED,
    "in shutdown": Power.STOPPING,
    "shut off": Power.OFF,
}
#: What makes it run again, from where it was or from its disk.
STARTS = {
    "shut off": "start",
    "paused": "resume",
    "pmsuspended": "dompmwakeup",
}


@dataclass(frozen=True, slots=True)
class Domain:
    """A machine as libvirt tells of it. It is named by `uuid` from then on: virsh takes a
    name of digits for the number of another one."""

    name: str
    uuid: str
    number: str  #: counts the domains that were powered since libvirt's own start
    state: str
    saved: bool
    persistent: bool

    @property
    def power(self) -> Power:
        if self.saved and self.state == "shut off":
            return Power.PAUSED  # its start goes on from where it was, and is no boot
        return POWERS.get(self.state, Power.UNKNOWN)


def find(virsh: Virsh, vm: str) -> Domain:
    if PATTERN.search(vm):
        raise virsh.fault(f"{vm!r} is a pattern and no name")
    try:
        found = domain(virsh.say("dominfo", f"--domain={vm}"))
        if found.name == vm:
            return found
    except SaidNo as error:
        if NO_SUCH_NAME not in error.complaint:
            raise
    # Either unknown, or a name that virsh took for the number of another domain.
    listed = (line.partition(" ") for line in virsh.say(*LIST).splitlines())
    uuids = {name: uuid for uuid, _, name in listed if name}
    if vm in uuids:
        return domain(virsh.say("dominfo", f"--domain={uuids[vm]}"))
    names = sorted(uuids)
    more = [f"and {len(names) - NAMES_SHOWN} more"] if len(names) > NAMES_SHOWN else []
    known = ", ".join(names[:NAMES_SHOWN] + more) or "none"
    raise virsh.fault(f"there is no machine {vm!r} (known: {known})")


def domain(told: str) -> Domain:
    """From what dominfo says: a line for each thing, its name before the colon."""
    lines = (line.partition(":") for line in told.splitlines())
    said = {key.strip(): value.strip() for key, _, value in lines}
    return Domain(
        # As it stands there: a name may begin or end with a space.
        name=next((e[5:].lstrip() for e in told.splitlines() if e.startswith("Name:")), ""),
        uuid=said.get("UUID", ""),
        number=said.get("Id", "-"),
        state=said.get("State", ""),
        saved=said.get("Managed save") == "yes",
        persistent=said.get("Persistent") != "no",
    )
