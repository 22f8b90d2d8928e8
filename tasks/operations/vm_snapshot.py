"""vm.snapshot: a new snapshot of a virtual machine, named after the job and the time.

On the machine's own disk, so it is no backup; vm.export makes one.
"""

from __future__ import annotations

from dataclasses import dataclass

from tasks import machines
from tasks.host import Host
from tasks.operation import Act, Met, Operation, Tell, Unmet
from tasks.snapshots import NO_BACKUP, Arguments, name_at, ours, told

SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Seen:
    snapshots: tuple[str, ...]  #: this job's, the oldest first


def look(host: Host, wanted: Arguments) -> Seen:
    listed = machines.hypervisor(host, wanted).list_snapshots(wanted.vm)
    return Seen(ours(wanted.prefix, (each.name for each in listed)))


def decide(_wanted: Arguments, _seen: Seen) -> Act:
    return Act()


def act(host: Host, wanted: Arguments, _tell: Tell) -> None:
    name = name_at(wanted.prefix, host.now())
    machines.hypervisor(host, wanted).snapshot(wanted.vm, name, seconds=SECONDS)


def judge(wanted: Arguments, before: Seen, now: Seen) -> Met | Unmet:
    new = [name for name in now.snapshots if name not in before.snapshots]
    if not new:
        return Unmet(f"there is no new snapshot of {wanted.vm}")
    point = told(wanted, new[-1], f"{wanted.hypervisor}: {wanted.vm}", 0, NO_BACKUP)
    return Met(f"snapshot {new[-1]} of {wanted.vm}; {NO_BACKUP}", point)


snapshot = Operation(
    "vm.snapshot",
    "Take a snapshot of a VM",
    Arguments,
    Seen,
    look,
    decide,
    act,
    judge,
    seconds=SECONDS + 60,
    in_plan=lambda wanted: (
        f"{wanted.hypervisor} at {wanted.at}: snapshot {wanted.vm} as {wanted.prefix}-TIME",
    ),
    from_control=True,
    beside=True,
)
