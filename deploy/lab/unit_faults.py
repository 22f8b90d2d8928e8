"""Faults that any service can have, and those that the stand-ins can be told to have.

What lives here: how they are made and undone with systemctl and drop-ins, on either driver.
What must not: what is particular to Redis. A drop-in outlives a reboot of the machine, so
that a service which is broken for good is not cured by switching it off and on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from deploy.lab import LabFault, drop_ins
from deploy.lab.kinds import Fault, Kind
from tasks.host import Ran

if TYPE_CHECKING:
    from deploy.lab.lab import Lab

Act = Callable[["Lab", Fault], None]

#: Between an initialisation's end and systemd's own patience with it.
SPARE_SECONDS = 60


def systemctl(lab: Lab, fault: Fault, verb: str, *options: str) -> Ran:
    done = lab.inside(fault.machine, ["systemctl", verb, *options, "--", fault.unit], seconds=90)
    if not done.ok:
        raise LabFault(f"{fault}: systemctl {verb}: {done.complaint}")
    return done


def state(lab: Lab, fault: Fault) -> str:
    """active, activating, failed, as systemd has it."""
    return lab.inside(fault.machine, ["systemctl", "is-active", "--", fault.unit]).out.strip()


def start(lab: Lab, fault: Fault) -> None:
    """Also where too many tries have made systemd refuse."""
    lab.inside(fault.machine, ["systemctl", "reset-failed", "--", fault.unit])
    systemctl(lab, fault, "start")


def until(what: Callable[[], bool], fault: Fault, otherwise: str, seconds: float = 15) -> None:
    """A fault counts as made, or as undone, once that was seen."""
    ends = time.monotonic() + seconds
    while not what():
        if time.monotonic() > ends:
            raise LabFault(f"{fault}: {otherwise} after {seconds:.0f} s")
        time.sleep(0.05)


def lay(lab: Lab, fault: Fault, text: str) -> None:
    """The fault's own drop-in, which mending takes away by its kind."""
    drop_ins.write(lab, fault.machine, fault.unit, fault.kind, text)


def _crash(lab: Lab, fault: Fault) -> None:
    lay(lab, fault, "[Service]\nRestart=no\n")
    systemctl(lab, fault, "kill", "--signal=KILL")


def _hang(lab: Lab, fault: Fault) -> None:
    systemctl(lab, fault, "kill", "--signal=STOP")


def _go_on(lab: Lab, fault: Fault) -> None:
    if state(lab, fault) == "active":
        systemctl(lab, fault, "kill", "--signal=CONT")


def _stop(lab: Lab, fault: Fault) -> None:
    systemctl(lab, fault, "stop")


def _crash_loop(lab: Lab, fault: Fault) -> None:
    """Its own command lives as its main process, and a bystander kills it after some seconds."""
    script = drop_ins.path_inside(lab, fault.machine, "short-lived.sh")
    command = (
        f"/bin/sh {script} {fault.seconds:g} {drop_ins.command(lab, fault.machine, fault.unit)}"
    )
    lay(
        lab,
        fault,
        "[Unit]\nStartLimitIntervalSec=0\n"
        "[Service]\nRestart=always\nRestartSec=0.5\n"
        f"SyslogIdentifier={fault.unit}\nExecStart=\nExecStart={command}\n",
    )
    systemctl(lab, fault, "restart")


def _end_loop(lab: Lab, fault: Fault) -> None:
    """Restarted, because the bystander of the one that runs would still kill it."""
    lab.inside(fault.machine, ["systemctl", "reset-failed", "--", fault.unit])
    systemctl(lab, fault, "restart")


def _initialise(lab: Lab, fault: Fault) -> None:
    """Each further restart begins the wait anew, as it does in the real backend."""
    patience = fault.seconds + SPARE_SECONDS
    environment = f"Environment=INITIALISING_SECONDS={fault.seconds:g}"
    text = f"[Service]\n{environment}\nTimeoutStartSec={patience:g}\n"
    lay(lab, fault, text)
    systemctl(lab, fault, "restart", "--no-block")
    # The restart begins with the old one's end; until then its answers are still good.
    until(lambda: state(lab, fault) == "activating", fault, "has not begun to start")


def _initialised(lab: Lab, fault: Fault) -> None:
    if state(lab, fault) != "active":
        systemctl(lab, fault, "restart")


def _lie(signal: str) -> Act:
    """What the process says is its own state: a restart cures it, as it would a real one."""

    def tell(lab: Lab, fault: Fault) -> None:
        if state(lab, fault) == "active":
            systemctl(lab, fault, "kill", f"--signal={signal}")
        elif signal != HONEST:
            raise LabFault(f"{fault}: it is not running, so it cannot answer anything")

    return tell


#: Signals of standins/serve.py.
HONEST = "HUP"

WAYS: Mapping[str, tuple[Act, Act]] = {
    Kind.SERVICE_CRASH: (_crash, start),
    Kind.SERVICE_HANG: (_hang, _go_on),
    Kind.SERVICE_STOP: (_stop, start),
    Kind.CRASH_LOOP: (_crash_loop, _end_loop),
    Kind.INITIALISING: (_initialise, _initialised),
    Kind.UNHEALTHY: (_lie("USR1"), _lie(HONEST)),
    Kind.WRONG_ANSWER: (_lie("USR2"), _lie(HONEST)),
}
