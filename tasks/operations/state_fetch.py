"""state.fetch: the newest backup of the coordinator's state comes from its machine to this one.

Runs on the machine that keeps backups, which so has it when the coordinator's machine is lost.
It is there under its name only whole, and is proved again where it is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from tasks.host import Host
from tasks.operation import Act, ActFailed, Leave, Met, Operation, Refuse, Tell, Unmet
from tasks.operations._over_ssh import ask, demand, over_ssh
from tasks.operations._states import LOOK_SECONDS, Newest, judged, look_at, program

COPY_SECONDS = 1800.0


@dataclass(frozen=True, slots=True)
class Arguments:
    backups: str  #: the folder on the other machine
    into: str  #: the folder here
    address: str
    ssh_user: str
    ssh_key: str  #: on this machine
    ssh_port: int = 22
    ssh_known_hosts: str = ""  #: the agent's own, if not given; an unknown host is refused


def look(host: Host, wanted: Arguments) -> Newest:
    return look_at(host, wanted.into)


def decide(_wanted: Arguments, _seen: Newest) -> Act | Leave | Refuse:
    return Act()


_NEWEST = 'cd -- "$1" && ls -d state-*/ | sort | tail -n 1'
_FETCH = (
    'into=$1; name=$2; shift 2; part="$into/.part-$name"; umask 077;'
    ' mkdir -p -- "$into" && rm -rf -- "$part" && mkdir -- "$part"'
    ' && "$@" | tar -C "$part" -xf - && mv -T -- "$part" "$into/$name"'
)


def act(host: Host, wanted: Arguments, tell: Tell) -> None:
    asked = ("sh", "-c", _NEWEST, "sh", wanted.backups)
    ran = ask(host, wanted, *asked, seconds=LOOK_SECONDS)
    name = ran.out.strip().rstrip("/")
    if not ran.ok or not name:
        raise ActFailed(f"there is no backup in {wanted.backups} there: {ran.complaint}")
    tell(f"fetching {name} from {wanted.address}")
    send = over_ssh(wanted, "tar", "-C", f"{wanted.backups}/{name}", "-cf", "-", ".")
    demand(host, ("sh", "-c", _FETCH, "sh", wanted.into, name, *send), COPY_SECONDS)
    demand(host, program("prove", f"{wanted.into}/{name}"), COPY_SECONDS)


def judge(wanted: Arguments, before: Newest, now: Newest) -> Met | Unmet:
    return judged(wanted.into, before, now)


fetch = Operation(
    "state.fetch",
    "Bring the newest backup of the coordinator's state here and prove it again",
    Arguments,
    Newest,
    look,
    decide,
    act,
    judge,
    seconds=3600,
    in_plan=lambda wanted: (
        f"ssh {wanted.ssh_user}@{wanted.address} tar -C {wanted.backups}/NEWEST -c . | tar -x",
        f"to a new folder in {wanted.into}, which is proved like the first one",
    ),
)
