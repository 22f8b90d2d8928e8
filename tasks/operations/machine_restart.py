"""machine.restart: a new boot of this machine, ordered on the machine itself.

Whoever carries it out ends with it: the order is found begun after the boot, and is judged by
what boot it is then. For a machine that only its own agent can restart, such as the
coordinator's; another machine's VM is restarted from outside (vm.restart), which also helps
where it hangs.
"""

from __future__ import annotations

from dataclasses import dataclass

from tasks import systemd
from tasks.contract import AGENT_UNIT
from tasks.host import Host, HostFault
from tasks.operation import Act, ActFailed, Met, Operation, Tell, Unmet

BOOT = "/proc/sys/kernel/random/boot_id"


@dataclass(frozen=True, slots=True)
class Arguments:
    agent_unit: str = AGENT_UNIT


@dataclass(frozen=True, slots=True)
class Seen:
    boot: str


def look(host: Host, _wanted: Arguments) -> Seen:
    boot = host.read(BOOT)
    if not boot:
        raise HostFault(f"{BOOT} cannot be read, so one boot cannot be told from the next")
    return Seen(boot.strip())


def decide(_wanted: Arguments, _seen: Seen) -> Act:
    return Act()


def act(host: Host, wanted: Arguments, _tell: Tell) -> None:
    ran = host.run(("systemctl", "reboot"), seconds=systemd.ANSWER_SECONDS)
    if not ran.ok:
        raise ActFailed(systemd.first_line(ran))
    # Stopped in order, the agent would wait for this very step, and hold up the shutdown for
    # its whole stop timeout. Killed it loses nothing: the order is in its journal.
    host.run(
        ("systemctl", "kill", "--signal=KILL", "--", wanted.agent_unit),
        seconds=systemd.ANSWER_SECONDS,
    )


def judge(_wanted: Arguments, before: Seen, now: Seen) -> Met | Unmet:
    if now.boot == before.boot:
        return Unmet("the machine still is in its old boot")
    return Met(f"the machine has booted anew: boot {now.boot}")


restart = Operation(
    "machine.restart",
    "Boot the machine that the agent itself runs on anew",
    Arguments,
    Seen,
    look,
    decide,
    act,
    judge,
    seconds=300,
    ends="machine",
    returns=True,
)
