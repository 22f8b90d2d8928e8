"""vm.restart: a new boot of a virtual machine, by cutting its power if it does not shut down."""

from __future__ import annotations

from dataclasses import dataclass

from tasks import machines
from tasks.host import Host
from tasks.hypervisors import HypervisorFault, Power, same_boot
from tasks.machines import Seen
from tasks.operation import Act, Met, Operation, Tell, Unmet


@dataclass(frozen=True, slots=True)
class Arguments(machines.Arguments):
    #: How long it may take to shut down before its power is cut; a hung machine takes all of
    #: it. The step's own deadline must be longer than this.
    shutdown_seconds: float = 60.0


def look(host: Host, wanted: Arguments) -> Seen:
    return machines.look(host, wanted)


def decide(_wanted: Arguments, _seen: Seen) -> Act:
    return Act()


def act(host: Host, wanted: Arguments, tell: Tell) -> None:
    asked = machines.hypervisor(host, wanted)
    if asked.state(wanted.vm) != Power.OFF:
        try:
            asked.stop(wanted.vm, hard=False, seconds=wanted.shutdown_seconds)
        except HypervisorFault as fault:
            tell(f"cutting the power of {wanted.vm}, because it did not shut down: {fault}")
            asked.restart(wanted.vm)
            return
    asked.start(wanted.vm)


def judge(wanted: Arguments, before: Seen, now: Seen) -> Met | Unmet:
    finding = machines.runs(wanted, now)
    if isinstance(finding, Met) and same_boot(now.boot, before.boot):
        return Unmet(f"{wanted.vm} is running, and was never off since")
    return finding


def in_plan(wanted: Arguments) -> tuple[str, ...]:
    there = f"{wanted.hypervisor} at {wanted.at}"
    return (
        f"{there}: shut down {wanted.vm}, or cut its power after {wanted.shutdown_seconds:.0f} s",
        f"{there}: start {wanted.vm}",
    )


restart = Operation(
    "vm.restart",
    "Restart a VM, by force if it does not shut down",
    Arguments,
    Seen,
    look,
    decide,
    act,
    judge,
    seconds=240,
    ends="machine",
    in_plan=in_plan,
    from_control=True,
)
