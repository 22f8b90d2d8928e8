"""vm.stop: a virtual machine that is off, orderly; with `hard` its power is cut."""

from __future__ import annotations

from dataclasses import dataclass

from tasks import machines
from tasks.host import Host
from tasks.hypervisors import Power
from tasks.machines import Seen
from tasks.operation import Act, Leave, Met, Operation, Tell, Unmet


@dataclass(frozen=True, slots=True)
class Arguments(machines.Arguments):
    hard: bool = False


def look(host: Host, wanted: Arguments) -> Seen:
    return machines.look(host, wanted)


def decide(wanted: Arguments, seen: Seen) -> Act | Leave:
    return Leave(f"{wanted.vm} is off") if seen.power == Power.OFF else Act()


def act(host: Host, wanted: Arguments, _tell: Tell) -> None:
    machines.hypervisor(host, wanted).stop(wanted.vm, hard=wanted.hard)


def judge(wanted: Arguments, _before: Seen, now: Seen) -> Met | Unmet:
    if now.power == Power.OFF:
        return Met(f"{wanted.vm} is off")
    return Unmet(f"{wanted.vm} is {now.power}")


def in_plan(wanted: Arguments) -> tuple[str, ...]:
    how = "cut the power of" if wanted.hard else "shut down"
    return (f"{wanted.hypervisor} at {wanted.at}: {how} {wanted.vm}",)


stop = Operation(
    "vm.stop",
    "Shut a VM down",
    Arguments,
    Seen,
    look,
    decide,
    act,
    judge,
    seconds=120,
    ends="machine",
    in_plan=in_plan,
    from_control=True,
)
