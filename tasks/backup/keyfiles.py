"""The files in which a restore of keys keeps what it replaces, and the process that does both.

What lives here: their folder and names, and running partial.py on the machine. What must not:
copying keys (partial.py), and whether it may be done (operations/redis_restore_keys.py).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from tasks.backup.places import stamp
from tasks.backup.scratch import COPY_SECONDS, ran
from tasks.contract import Json
from tasks.host import Host
from tasks.operation import ActFailed

KEPT, UNDONE = "keys-", ".undone"
#: Its last line, once all was copied.
END = "copied"


@dataclass(frozen=True, slots=True)
class Target:
    """The live server whose keys are written."""

    address: str
    port: int = 6379
    password_file: str = ""
    user: str = ""
    tls: bool = False
    ca_file: str = ""
    pin_sha256: str = ""
    kept_in: str = "/var/tmp/autobot-dr"  # noqa: S108 - a folder that only its owner may enter
    server: str = "redis-server"  #: the programs for the scratch server, of the same version
    cli: str = "redis-cli"


def files(host: Host, folder: str) -> tuple[str, ...]:
    """Those of restores that are not undone, oldest first."""
    argv = ("find", folder, "-maxdepth", "1", "-name", f"{KEPT}*", "-printf", "%f\\n")
    names = host.run(argv, seconds=10).out.splitlines()
    return tuple(sorted(name for name in names if not name.endswith(UNDONE)))


def new(host: Host, folder: str, backup: str) -> str:
    ran(host, ("mkdir", "-p", "-m", "700", "--", folder))
    return f"{folder}/{KEPT}" + "-".join(filter(None, (stamp(host), backup)))


def end(host: Host, folder: str, names: tuple[str, ...]) -> str:
    """What the newest says of its end, in words; nothing when it has none."""
    text = host.read(f"{folder}/{names[-1]}", last=4096) if names else None
    last = (text or "").splitlines()[-1:]
    try:
        said = json.loads(last[0])[END] if last else None
    except (ValueError, KeyError, TypeError):
        said = None
    return f"{said['added']} were added, {said['replaced']} replaced" if said else ""


def copy(host: Host, target: Target, given: Mapping[str, Json], *, kept: str) -> Mapping[str, int]:
    """Without a file to keep what is replaced, a dry run. Raises ActFailed."""
    return _run(host, target, {**given, "kept": kept, "dry_run": not kept})


def put_back(host: Host, target: Target, name: str) -> None:
    path = f"{target.kept_in}/{name}"
    _run(host, target, {"backup": "", "pattern": "", "kept": path, "undo": True})
    ran(host, ("mv", "-n", "-T", "--", path, f"{path}{UNDONE}"))


def _run(host: Host, target: Target, given: Mapping[str, Json]) -> Mapping[str, int]:
    names = ("address", "port", "password_file", "user", "tls", "ca_file", "pin_sha256")
    settings = {**{name: getattr(target, name) for name in names}, **given}
    # A process of its own: it ends at the deadline, and its memory is not the agent's.
    argv = (sys.executable, "-m", "tasks.backup.partial", "--settings", "/dev/stdin")
    done = host.run(argv, seconds=COPY_SECONDS, stdin=json.dumps(settings).encode())
    if not done.ok:
        raise ActFailed(f"the keys were not all copied: {done.complaint}")
    said: Mapping[str, int] = json.loads(done.out)
    return said
