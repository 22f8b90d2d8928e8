"""vm.export: a whole copy of a virtual machine on a share, of one moment, its disks found sound.

A snapshot is taken for it and removed afterwards. What an earlier export left, when it was
killed, is removed first: this job keeps no snapshots, so one of its name is nobody's any more.
"""

from __future__ import annotations

from dataclasses import dataclass

from tasks import machines, snapshots
from tasks.host import Host
from tasks.hypervisors import HypervisorFault
from tasks.operation import Act, Met, Operation, Tell, Unmet
from tasks.snapshots import NOT_BOOTED, name_at, ours, told

SNAPSHOT_SECONDS, EXPORT_SECONDS, REMOVE_SECONDS = 600.0, 5 * 3600.0, 1800.0


@dataclass(frozen=True, slots=True)
class Arguments(snapshots.Arguments):
    to: str  #: a share or folder that the hypervisor reaches


@dataclass(frozen=True, slots=True)
class Seen:
    exports: tuple[str, ...]  #: this job's, the oldest first
    size_bytes: int = 0  #: of the newest
    snapshots: tuple[str, ...] = ()  #: this job's


def look(host: Host, wanted: Arguments) -> Seen:
    asked = machines.hypervisor(host, wanted)
    listed = {each.name: each.size_bytes for each in asked.list_exports(wanted.vm, wanted.to)}
    exports = ours(wanted.prefix, listed)
    left = ours(wanted.prefix, (each.name for each in asked.list_snapshots(wanted.vm)))
    return Seen(exports, listed[exports[-1]] if exports else 0, left)


def decide(_wanted: Arguments, _seen: Seen) -> Act:
    return Act()


def act(host: Host, wanted: Arguments, tell: Tell) -> None:
    asked = machines.hypervisor(host, wanted)
    listed = asked.list_snapshots(wanted.vm)
    for left in ours(wanted.prefix, (each.name for each in listed)):
        tell(f"removing snapshot {left}, which an earlier export left")
        asked.remove_snapshot(wanted.vm, left, seconds=REMOVE_SECONDS)
    name = name_at(wanted.prefix, host.now())
    asked.snapshot(wanted.vm, name, seconds=SNAPSHOT_SECONDS)
    try:
        tell(f"exporting {name} to {wanted.to}")
        asked.export(wanted.vm, name, wanted.to, seconds=EXPORT_SECONDS)
    except HypervisorFault as fault:
        tell(f"not exported: {fault}")
        raise
    finally:
        asked.remove_snapshot(wanted.vm, name, seconds=REMOVE_SECONDS)


def judge(wanted: Arguments, before: Seen, now: Seen) -> Met | Unmet:
    new = [name for name in now.exports if name not in before.exports]
    if not new:
        return Unmet(f"there is no new export of {wanted.vm} in {wanted.to}")
    where = f"{wanted.to}/{wanted.vm}/{new[-1]}"
    point = told(wanted, new[-1], where, now.size_bytes, NOT_BOOTED)
    if now.snapshots:
        left = ", ".join(now.snapshots)
        return Unmet(f"{where} is whole, and snapshot {left} of {wanted.vm} is still there", point)
    return Met(f"{where}: {now.size_bytes} bytes; {NOT_BOOTED}", point)


export = Operation(
    "vm.export",
    "Export a VM to a share and have its disks checked",
    Arguments,
    Seen,
    look,
    decide,
    act,
    judge,
    seconds=6 * 3600,
    in_plan=lambda wanted: (
        f"{wanted.hypervisor} at {wanted.at}: snapshot {wanted.vm} as {wanted.prefix}-TIME",
        f"export it below {wanted.to}, check the disks there, remove the snapshot",
    ),
    from_control=True,
    beside=True,
)
