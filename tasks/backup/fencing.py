"""Keeping everybody away from a Redis whose data is being exchanged, until it is verified.

What lives here: the fence, which is one file beside the unit, and what it remembers. What must
not: exchanging data (exchanging.py). The file makes the unit listen at a loopback address that
nobody knows, whoever starts it and however often, also after a power cut; lifting the fence is
one CONFIG SET and no second load. Replicas are held by it too: they keep what they have, ask
again and again, and take a full copy once it is lifted. docs/decisions/redis-backups.md says
why not by other means.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from tasks.host import Host, HostFault, NobodyListens
from tasks.operation import ActFailed

#: Where a fenced server listens, at its own port.
ADDRESS = "127.88.0.1"
#: After all others, which may say how it is started.
FILE = "zz-autobot-dr-fence.conf"
ORDER_SECONDS = 30.0
_MARK = "# autobot-dr: "
_BY_HAND = (
    "# AutoBot DR exchanges the data of this unit, and keeps clients away until it is verified.\n"
    "# `autobot-dr backup undo` ends that. By hand: see that the data is what it should be, then\n"
    "# remove this file, systemctl daemon-reload, and restart the unit.\n"
)


@dataclass(frozen=True, slots=True)
class Fence:
    """An exchange that was begun and is not verified yet; its folders are beside the data."""

    bind: str  #: what it listens at without the fence; empty where nobody is kept away
    folder: str
    incoming: str  #: what is to take its place
    kept: str  #: where what was there goes
    names: tuple[str, ...]  #: all that Redis may load there
    old: tuple[str, ...]  #: those of them that were there
    new: tuple[str, ...]  #: those of them in `incoming`


def folder_of(unit: str) -> str:
    # Not below /run: a power cut must not open what nobody has verified.
    return f"/etc/systemd/system/{unit.removesuffix('.service')}.service.d"


def read(host: Host, unit: str) -> Fence | None:
    text = host.read(f"{folder_of(unit)}/{FILE}") or ""
    for line in text.splitlines():
        if line.startswith(_MARK):
            said: dict[str, Any] = json.loads(line.removeprefix(_MARK))
            lists: dict[str, Any] = {name: tuple(said[name]) for name in ("names", "old", "new")}
            return Fence(**{**said, **lists})
    return None


def listens(host: Host, port: int, *, seconds: float) -> bool:
    """Whether there is a server behind the fence, even one that does not answer."""
    try:
        host.tcp(ADDRESS, port, seconds=seconds)
    except NobodyListens:
        return False
    except HostFault:
        pass
    return True


def close(host: Host, unit: str, fence: Fence) -> None:
    """From its next start on, the unit is fenced, and may take as long as it takes to load."""
    lines = ["[Service]", "TimeoutStartSec=infinity"]
    if fence.bind:
        command = exec_start(_must(host, "systemctl", "cat", "--", unit))
        if not command:
            raise ActFailed(f"the unit file of {unit} does not say how it is started")
        lines += ["ExecStart=", f"ExecStart={command} --bind {ADDRESS}"]
    _must(host, "mkdir", "-p", "--", folder_of(unit))
    text = "\n".join([f"{_BY_HAND}{_MARK}{json.dumps(asdict(fence))}", *lines, ""])
    host.write(f"{folder_of(unit)}/{FILE}", text.encode())
    _must(host, "systemctl", "daemon-reload")


def remove(host: Host, unit: str) -> None:
    """The unit is started as ever from now on. What runs is not touched."""
    _must(host, "rm", "-f", "--", f"{folder_of(unit)}/{FILE}")
    # Where nobody else has put anything.
    host.run(("rmdir", "--", folder_of(unit)), seconds=ORDER_SECONDS)
    _must(host, "systemctl", "daemon-reload")


def exec_start(text: str) -> str:
    """The last command of what `systemctl cat` shows, as it is written; the fence's own is none."""
    command = ""
    for line in _lines(text):
        name, _, value = line.partition("=")
        if name.strip() == "ExecStart" and ADDRESS not in value:
            command = value.strip() or command
    return command


def _lines(text: str) -> Iterator[str]:
    """Whole lines: a backslash at the end goes on in the next."""
    begun = ""
    for line in text.splitlines():
        if line.lstrip().startswith(("#", ";")):
            continue
        begun += line.rstrip()
        if begun.endswith("\\"):
            begun = f"{begun[:-1]} "
            continue
        yield begun
        begun = ""


def _must(host: Host, *argv: str) -> str:
    ran = host.run(argv, seconds=ORDER_SECONDS)
    if not ran.ok:
        raise HostFault(f"{' '.join(argv[:2])}: {ran.complaint}")
    return ran.out
