"""Faults that only Redis has: its disk, its folder, its password, its loading.

What lives here: how they are made and undone, and what a client then really sees (measured
with Redis 7.0.15). What must not: faults of any service (unit_faults.py).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.lab import LabFault, drop_ins, unit_faults
from deploy.lab.kinds import Fault, Kind
from deploy.lab.unit_faults import Act, lay, start, systemctl, until
from tasks.host import LocalHost

if TYPE_CHECKING:
    from deploy.lab.lab import Lab

PORT = 6379
DATA = "/var/lib/redis-stack"  #: of a real machine; the process lab has no such faults
PASSWORD = "changed-by-the-lab"  # noqa: S105 (it guards a practice server)
CLIENT = Path(__file__).with_name("redis_ask.py")

#: What makes a load slow: keys that no compression shrinks, so that Redis looks up from its
#: loading, and answers, at each of them.
KEYS, PREFIX = 1000, "lab:loading:"
FILL = (
    f"for i = 1, {KEYS} do local t = {{}} "
    "for j = 1, 1500 do t[j] = string.char(math.random(33, 126)) end "
    f"redis.call('SET', '{PREFIX}' .. i, table.concat(t)) end return 'filled'"
)
EMPTY = f"for i = 1, {KEYS} do redis.call('UNLINK', '{PREFIX}' .. i) end return 'emptied'"


def ask(lab: Lab, machine: str, *commands: tuple[str, ...]) -> list[str]:
    """The replies, asked from the machine itself, so that a cut cable does not matter.

    The lab's password is always offered: a Redis that has none only says so.
    """
    words = json.dumps([("AUTH", PASSWORD), *commands])
    program = [*lab.near(machine), sys.executable, "-S", str(CLIENT)]
    done = LocalHost().run([*program, lab.address(machine), str(PORT), words], seconds=30)
    if not done.ok:
        raise LabFault(f"{machine}: {done.complaint}")
    replies: list[str] = json.loads(done.out)
    return replies[1:]


def _told(lab: Lab, fault: Fault, *commands: tuple[str, ...]) -> list[str]:
    replies = ask(lab, fault.machine, *commands)
    for command, reply in zip(commands, replies, strict=True):
        if reply.startswith("-"):
            raise LabFault(f"{fault}: {command[0]}: {reply[1:]}")
    return replies


def _fill_disk(lab: Lab, fault: Fault) -> None:
    """A disk of its own, with what was there and a temp-4711.rdb that takes all the rest.

    That is what killed snapshots leave behind. Redis starts and serves. The first write is
    still said to be done, and from then on every write and even PING are answered MISCONF
    ("Errors writing to the AOF file: No space left on device"), while reads go on. An orderly
    stop fails too: Redis refuses to end without having saved, and systemd kills it after the
    unit's 30 s. A restart cures nothing, but PING is PONG until the next write; so the unit
    writes once after each start, as AutoBot would. Redis heals within a second of the file's
    removal, with no restart.

    The disk is memory of the machine: a power loss brings back what was there before the
    fault, with the disk full again. Mending takes what is on it back to the old folder.
    """
    script = _disk_script(lab, fault)
    before = f"ExecStartPre=+/bin/sh {script} make {DATA}"
    after = f"ExecStartPost=/bin/sh {script} write {DATA}"
    lay(lab, fault, f"[Service]\n{before}\n{after}\n")
    systemctl(lab, fault, "restart")
    until(
        lambda: "No space left" in ask(lab, fault.machine, ("PING",))[0],
        fault,
        "Redis still writes",
    )


def _empty_disk(lab: Lab, fault: Fault) -> None:
    _run(lab, fault, "sh", _disk_script(lab, fault), "free", DATA)
    systemctl(lab, fault, "stop")
    _run(lab, fault, "sh", _disk_script(lab, fault), "undo", DATA)
    start(lab, fault)


def _take_folder(lab: Lab, fault: Fault) -> None:
    """The folder is root's alone, and Redis has lost the process that was already in it.

    Every start ends with exit code 1 after "'dir /var/lib/redis-stack' … Permission denied".
    systemd would give the folder back because of StateDirectory=, which a unit in the
    field need not have, so that is taken out of the unit as well.
    """
    lay(lab, fault, "[Service]\nStateDirectory=\n")
    _run(lab, fault, "chown", "root:root", DATA)
    _run(lab, fault, "chmod", "0700", DATA)
    systemctl(lab, fault, "kill", "--signal=KILL")


def _change_password(lab: Lab, fault: Fault) -> None:
    """As after an administrator's change: set, in the unit for the next start, and in force at
    once, because who is connected has to come again. All without it get NOAUTH, PING too."""
    command = f"{drop_ins.command(lab, fault.machine, fault.unit)} --requirepass {PASSWORD}"
    text = f"[Service]\nExecStart=\nExecStart={command}\n"
    lay(lab, fault, text)
    set_password = ("CONFIG", "SET", "requirepass", PASSWORD)
    _told(lab, fault, set_password, ("CLIENT", "KILL", "TYPE", "normal"))


def _take_password(lab: Lab, fault: Fault) -> None:
    start(lab, fault)
    _told(lab, fault, ("CONFIG", "SET", "requirepass", ""))


def _load_slowly(lab: Lab, fault: Fault) -> None:
    """Redis pauses at each key while it loads; enough keys are added that it answers in between.

    Every command but a few gets LOADING, PING too; systemd says activating until the end, if
    the unit tells it (the process lab's does not). A restart meanwhile begins the load anew.
    """
    fill = ("EVAL", FILL, "0")
    *_, keys = _told(lab, fault, fill, ("DBSIZE",))
    # One file without a tail: only the keys of a snapshot are counted and paused at.
    _told(lab, fault, ("BGREWRITEAOF",))
    until(lambda: _rewritten(lab, fault), fault, "its snapshot is not done", seconds=120)
    pause = round(fault.seconds * 1e6 / int(keys))
    slow = f"--key-load-delay {pause} --loading-process-events-interval-bytes 1024"
    command = f"{drop_ins.command(lab, fault.machine, fault.unit)} {slow}"
    text = f"[Service]\nExecStart=\nExecStart={command}\n"
    lay(lab, fault, text)
    systemctl(lab, fault, "restart", "--no-block")
    until(lambda: _ping(lab, fault).startswith("-LOADING"), fault, "it does not say LOADING")


def _load_fast(lab: Lab, fault: Fault) -> None:
    if unit_faults.state(lab, fault) not in ("active", "activating"):
        start(lab, fault)
    until(lambda: bool(_ping(lab, fault)), fault, "it does not answer")
    _told(lab, fault, ("CONFIG", "SET", "key-load-delay", "0"))
    until(lambda: _ping(lab, fault) == "PONG", fault, "it still loads")
    _told(lab, fault, ("EVAL", EMPTY, "0"))


def _disk_script(lab: Lab, fault: Fault) -> str:
    return drop_ins.path_inside(lab, fault.machine, "full-disk.sh")


def _run(lab: Lab, fault: Fault, *argv: str) -> None:
    done = lab.inside(fault.machine, argv, seconds=60)
    if not done.ok:
        raise LabFault(f"{fault}: {argv[0]}: {done.complaint}")


def _rewritten(lab: Lab, fault: Fault) -> bool:
    (info,) = _told(lab, fault, ("INFO", "persistence"))
    said = dict(line.partition(":")[::2] for line in info.splitlines())
    return said["aof_rewrite_in_progress"] == said["aof_rewrite_scheduled"] == "0"


def _ping(lab: Lab, fault: Fault) -> str:
    try:
        return ask(lab, fault.machine, ("PING",))[0]
    except LabFault:  # between the old process and the new one
        return ""


WAYS: Mapping[str, tuple[Act, Act]] = {
    Kind.DISK_FULL: (_fill_disk, _empty_disk),
    Kind.WRONG_PERMISSIONS: (_take_folder, start),
    Kind.PASSWORD_CHANGED: (_change_password, _take_password),
    Kind.LOADING: (_load_slowly, _load_fast),
}
