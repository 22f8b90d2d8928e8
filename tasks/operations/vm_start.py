"""vm.start: a virtual machine that is powered. Whether it has booted is machine.ready's."""

from __future__ import annotations

from tasks.host import Host
from tasks.hypervisors import Power
from tasks.machines import Arguments, Seen, hypervisor, look, runs
from tasks.operation import Act, Leave, Met, Operation, Tell, Unmet


def decide(wanted: Arguments, seen: Seen) -> Act | Leave:
    return Leave(f"{wanted.vm} is running") if seen.power == Power.RUNNING else Act()


def act(host: Host, wanted: Arguments, _tell: Tell) -> None:
    hypervisor(host, wanted).start(wanted.vm)


def judge(wanted: Arguments, _before: Seen, now: Seen) -> Met | Unmet:
    return runs(wanted, now)


start = Operation(
    "vm.start",
    "Power a VM on",
    Arguments,
    Seen,
    look,
    decide,
    act,
    judge,
    seconds=120,
    in_plan=lambda wanted: (f"{wanted.hypervisor} at {wanted.at}: start {wanted.vm}",),
    from_control=True,
)
