"""vm.restore_snapshot: a virtual machine goes on from a snapshot; what it was is kept in another.

The whole machine goes back: all that was written since then is only in the snapshot that is taken
first. It is removed by hand, when nobody wants to go back again.
"""

from __future__ import annotations

from dataclasses import dataclass

from tasks import machines
from tasks.host import Host
from tasks.hypervisors import Power
from tasks.operation import Act, Met, Operation, Refuse, Tell, Unmet
from tasks.snapshots import name_at

SECONDS = 600.0
BEFORE = "before-restore"


@dataclass(frozen=True, slots=True)
class Arguments(machines.Arguments):
    name: str  #: of the snapshot


@dataclass(frozen=True, slots=True)
class Seen:
    power: str
    snapshots: tuple[str, ...]
    current: str  #: what its disks go on from


def look(host: Host, wanted: Arguments) -> Seen:
    asked = machines.hypervisor(host, wanted)
    listed = asked.list_snapshots(wanted.vm)
    current = next((each.name for each in listed if each.current), "")
    return Seen(asked.state(wanted.vm).value, tuple(each.name for each in listed), current)


def decide(wanted: Arguments, seen: Seen) -> Act | Refuse:
    if wanted.name in seen.snapshots:
        return Act()
    there = ", ".join(seen.snapshots) or "none"
    return Refuse(f"{wanted.vm} has no snapshot {wanted.name} any more (there are: {there})")


def act(host: Host, wanted: Arguments, tell: Tell) -> None:
    asked = machines.hypervisor(host, wanted)
    kept = name_at(BEFORE, host.now())
    asked.snapshot(wanted.vm, kept, seconds=SECONDS)
    tell(f"what {wanted.vm} is now is kept as snapshot {kept}")
    asked.restore_snapshot(wanted.vm, wanted.name, seconds=SECONDS)
    asked.start(wanted.vm)


def judge(wanted: Arguments, before: Seen, now: Seen) -> Met | Unmet:
    kept = [e for e in now.snapshots if e.startswith(BEFORE) and e not in before.snapshots]
    if not kept:
        return Unmet(f"{wanted.vm} was not restored: what it is now could not be kept")
    if now.current != wanted.name:
        return Unmet(f"{wanted.vm} goes on from {now.current or 'no snapshot'}", final=True)
    if now.power != Power.RUNNING:
        return Unmet(f"{wanted.vm} is as in {wanted.name}, and {now.power}")
    return Met(f"{wanted.vm} goes on from {wanted.name}; what it was is kept as {kept[-1]}")


restore = Operation(
    "vm.restore_snapshot",
    "Put a VM back to a snapshot, and keep what it was",
    Arguments,
    Seen,
    look,
    decide,
    act,
    judge,
    seconds=2 * SECONDS + 120,
    ends="machine",
    in_plan=lambda wanted: (
        f"{wanted.hypervisor} at {wanted.at}: snapshot {wanted.vm} as {BEFORE}-TIME, to be kept",
        f"restore {wanted.name}, start {wanted.vm}",
    ),
    from_control=True,
)
