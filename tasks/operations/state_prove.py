"""state.prove: a backup of the coordinator's state is opened again, and is still what it was."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.host import Host
from tasks.operation import Act, ActFailed, Met, Operation, Tell, Unmet
from tasks.operations._states import LOOK_SECONDS, Newest, newest, program


@dataclass(frozen=True, slots=True)
class Arguments:
    backup: str  #: a folder on this machine


def look(host: Host, wanted: Arguments) -> Newest:
    ran = host.run(program("show", wanted.backup), seconds=LOOK_SECONDS)
    return newest(ran.out) if ran.ok else Newest((), "failed", ran.complaint)


def decide(_wanted: Arguments, _seen: Newest) -> Act:
    return Act()


def act(host: Host, wanted: Arguments, tell: Tell) -> None:
    tell(f"opening {wanted.backup}")
    ran = host.run(program("prove", wanted.backup), seconds=1800.0)
    if not ran.ok:
        raise ActFailed(ran.complaint)


def judge(wanted: Arguments, before: Newest, now: Newest) -> Met | Unmet:
    if now.state == "failed":
        return Unmet(f"{wanted.backup} failed its proof: {now.reason}", now.point, final=True)
    if now.state == "verified" and now.verified_at > before.verified_at:
        said = f"{wanted.backup} was opened, and its {now.rows} rows are what they should be"
        return Met(said, now.point)
    return Unmet(f"{wanted.backup} is {now.state}, and was not proved anew")


prove = Operation(
    "state.prove",
    "Open a backup of the coordinator's state and compare it with its manifest",
    Arguments,
    Newest,
    look,
    decide,
    act,
    judge,
    seconds=3600,
    in_plan=lambda wanted: (
        f"sha256sum of each file in {wanted.backup}, compared with its manifest",
        "SQLite's integrity check of its store; version and rows are compared",
    ),
)
