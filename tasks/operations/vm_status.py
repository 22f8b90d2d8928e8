"""vm.status: whether a virtual machine is powered, whatever the answer. A diagnosis."""

from __future__ import annotations

from tasks.machines import Arguments, Seen, look
from tasks.operation import Met, only_look


def judge(wanted: Arguments, now: Seen) -> Met:
    return Met(f"{wanted.vm} is {now.power}")


status = only_look(
    "vm.status",
    "Say whether a VM is powered",
    Arguments,
    Seen,
    look,
    judge,
    seconds=20,
    diagnosis=True,
    in_plan=lambda wanted: (f"{wanted.hypervisor} at {wanted.at}: state of {wanted.vm}",),
    from_control=True,
)
