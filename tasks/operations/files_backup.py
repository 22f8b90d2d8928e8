"""files.backup: files, databases and repositories of this machine, pushed to its vault by restic.

Runs on the machine that is backed up. Its key opens an append-only door: it can add, and neither
change nor remove. Done means that the repository has a new snapshot and restic ended well; what
is in it is proved on the vault (files.prove).

What is collected stays in its folder until it is pushed, and only an end without any complaint
takes the folder away: so a crash in between is seen.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

from tasks.backup.restic import (
    COPY_SECONDS,
    LOOK_SECONDS,
    Pushing,
    Repository,
    complaint,
    demand_version,
    point_id,
    snapshots,
)
from tasks.host import Host
from tasks.operation import Act, ActFailed, Met, Operation, Tell, Unmet


@dataclass(frozen=True, slots=True)
class Arguments:
    job: str
    machine: str
    folder: str  #: of the repository, on the vault
    password_file: str  #: on this machine
    max_bytes: int
    staging: str  #: a folder here with room for what is collected
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    sqlite: tuple[str, ...] = ()
    git: tuple[str, ...] = ()
    ollama: str = ""
    vault_address: str = ""  #: empty where this machine is the vault
    push_user: str = ""
    push_key: str = ""
    push_port: int = 22
    push_known_hosts: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    snapshots: tuple[str, ...]  #: the oldest first
    fresh: bool  #: there is no repository yet
    staged: bool  #: something was collected, and its push did not end well


def _repository(wanted: Arguments) -> Repository:
    way = (wanted.push_user, wanted.push_key, wanted.push_port, wanted.push_known_hosts)
    return Pushing(wanted.folder, wanted.vault_address, *way).repository(wanted.password_file)


def _stage(wanted: Arguments) -> str:
    return f"{wanted.staging}/{wanted.job}"


def look(host: Host, wanted: Arguments) -> Seen:
    found = snapshots(host, _repository(wanted), wanted.job)
    staged = host.run(("test", "-e", _stage(wanted)), seconds=LOOK_SECONDS).ok
    return Seen(tuple(each.id for each in found or ()), found is None, staged)


def decide(_wanted: Arguments, _seen: Seen) -> Act:
    return Act()


def act(host: Host, wanted: Arguments, tell: Tell) -> None:
    demand_version(host)
    stage, repository = _stage(wanted), _repository(wanted)
    tell("collecting files, databases and repositories")
    settings = {
        "into": stage,
        "job": wanted.job,
        "machine": wanted.machine,
        "max_bytes": wanted.max_bytes,
        "include": wanted.include,
        "exclude": wanted.exclude,
        "sqlite": wanted.sqlite,
        "git": wanted.git,
        "ollama": wanted.ollama,
    }
    # A process of its own: it ends at the deadline, and its memory is not the agent's.
    argv = (sys.executable, "-m", "tasks.backup.collecting", "--settings", "/dev/stdin")
    ran = host.run(argv, seconds=COPY_SECONDS, stdin=json.dumps(settings).encode())
    if not ran.ok:
        _clear(host, stage)
        raise ActFailed(f"nothing was pushed: {ran.complaint}")
    tell(f"pushing {ran.out.strip()}")
    try:
        _push(host, repository, wanted, stage)
    except ActFailed:
        _clear(host, stage)
        raise
    host.run(("rm", "-rf", "--", stage), seconds=LOOK_SECONDS)


def _push(host: Host, repository: Repository, wanted: Arguments, stage: str) -> None:
    if snapshots(host, repository, wanted.job) is None:
        _demand(host, repository, "init", "--quiet")
    # What a killed push of this machine has left; others' locks are not touched.
    _demand(host, repository, "unlock", "--quiet")
    words = (
        "--quiet",
        "--tag",
        wanted.job,
        "--host",
        wanted.machine,
    )
    _demand(host, repository, "backup", *words, stage)


def _demand(host: Host, repository: Repository, *words: str) -> None:
    ran = host.run(repository.command(*words), seconds=COPY_SECONDS)
    if not ran.ok:
        raise ActFailed(f"restic {words[0]}: {complaint(ran)}")


def _clear(host: Host, stage: str) -> None:
    """The folder itself stays: it says that this did not end well."""
    host.run(("find", stage, "-mindepth", "1", "-delete"), seconds=LOOK_SECONDS)


def judge(wanted: Arguments, before: Seen, now: Seen) -> Met | Unmet:
    new = [each for each in now.snapshots if each not in before.snapshots]
    if now.staged:
        return Unmet("it did not end well, so whatever was pushed does not count", final=True)
    if not new:
        return Unmet("there is no new snapshot", final=True)
    made = " in a new repository" if before.fresh else ""
    return Met(f"{point_id(wanted.job, new[-1])} is stored{made}, and not proved yet")


def _in_plan(wanted: Arguments) -> tuple[str, ...]:
    where = f"over SSH to {wanted.vault_address}" if wanted.vault_address else "here"
    return (
        *(f"copy {each}" for each in wanted.include),
        *(f"copy SQLite's {each} by its own backup, integrity_check" for each in wanted.sqlite),
        *(f"git bundle create --all of {each}, and verify it" for each in wanted.git),
        *((f"GET {wanted.ollama}/api/tags",) if wanted.ollama else ()),
        f"restic backup {where} to {wanted.folder}, append-only",
    )


backup = Operation(
    "files.backup",
    "Collect files, databases and repositories, and push them to the vault",
    Arguments,
    Seen,
    look,
    decide,
    act,
    judge,
    seconds=3600,
    in_plan=_in_plan,
)
