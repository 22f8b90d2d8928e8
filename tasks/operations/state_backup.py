"""state.backup: the coordinator's own state is copied, and the copy is proved.

Runs on the control machine, where the coordinator's program and its home are; it needs no
coordinator. Done means that a folder is there that was not there before, and that its manifest
says `verified`: the store was opened, checked, and its rows were counted.
"""

from __future__ import annotations

from dataclasses import dataclass

from tasks.host import Host
from tasks.operation import Act, ActFailed, Met, Operation, Tell, Unmet
from tasks.operations._states import Newest, judged, look_at

COPY_SECONDS = 1800.0


@dataclass(frozen=True, slots=True)
class Arguments:
    into: str  #: the folder for these backups, on this machine
    home: str  #: of the coordinator
    program: str = "autobot-dr"


def look(host: Host, wanted: Arguments) -> Newest:
    return look_at(host, wanted.into)


def decide(_wanted: Arguments, _seen: Newest) -> Act:
    return Act()


def act(host: Host, wanted: Arguments, tell: Tell) -> None:
    tell(f"copying the state of {wanted.home}")
    own = f"AUTOBOT_DR_HOME={wanted.home}"
    argv = ("env", own, wanted.program, "state", "backup", "--json", wanted.into)
    ran = host.run(argv, seconds=COPY_SECONDS)
    if not ran.ok:
        raise ActFailed(f"no copy was made: {ran.complaint}")


def judge(wanted: Arguments, before: Newest, now: Newest) -> Met | Unmet:
    return judged(wanted.into, before, now)


backup = Operation(
    "state.backup",
    "Copy the coordinator's own state and prove the copy",
    Arguments,
    Newest,
    look,
    decide,
    act,
    judge,
    seconds=3600,
    in_plan=lambda wanted: (
        f"AUTOBOT_DR_HOME={wanted.home} {wanted.program} state backup {wanted.into}",
        "the copied store is opened, checked by SQLite, and its rows are counted",
    ),
)
