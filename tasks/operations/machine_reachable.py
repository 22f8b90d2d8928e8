"""machine.reachable: asked from another machine, whether this one is on the network and up."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.host import Host, HostFault, NobodyListens
from tasks.operation import Met, Unmet, only_look


@dataclass(frozen=True, slots=True)
class Arguments:
    address: str
    ssh_port: int = 22  #: sshd is among the last to start, and answers before any user's work


@dataclass(frozen=True, slots=True)
class Seen:
    answers: bool  #: the machine's network is up
    listens: bool
    error: str = ""


def look(host: Host, wanted: Arguments) -> Seen:
    try:
        host.tcp(wanted.address, wanted.ssh_port, seconds=2)
    except NobodyListens as error:
        return Seen(answers=True, listens=False, error=str(error))
    except HostFault as error:
        return Seen(answers=False, listens=False, error=str(error))
    return Seen(answers=True, listens=True)


def judge(wanted: Arguments, now: Seen) -> Met | Unmet:
    if now.listens:
        return Met(f"{wanted.address} accepts connections at port {wanted.ssh_port}")
    if now.answers:
        return Unmet(f"the machine is powered on and not up yet: {now.error}")
    return Unmet(
        f"the machine is off, its network is, or it has another address now, which the fleet file "
        f"must say: {now.error}"
    )


reachable = only_look(
    "machine.reachable",
    "Wait until the machine can be reached over the network",
    Arguments,
    Seen,
    look,
    judge,
    seconds=300,
    from_control=True,
)
