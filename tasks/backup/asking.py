"""Asking a Redis server through the machine it is on: short questions, under one deadline.

What lives here: the exchange, logging in, and telling "does not answer" from "does not let us in".
What must not: what is asked. Long transfers go over a connection of their own (link.py).
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace

from tasks.host import Host, HostFault
from tasks.questions import read_trust
from tasks.resp import ErrorReply, NotRedis, command, replies

ANSWER_SECONDS = 10.0
#: Between two looks at a server that loads, in seconds: at first and at most.
FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.5
#: First words of an answer to somebody who is not let in.
LOCKED = ("NOAUTH", "WRONGPASS", "NOPERM")


class LockedOut(HostFault):
    """The server lives and does not let us in: mend the password, or the file that it is in."""


@dataclass(frozen=True, slots=True)
class Where:
    """A Redis service, as the fleet names it."""

    unit: str
    address: str
    port: int = 6379
    password_file: str = ""
    user: str = ""  #: an ACL user; empty for the default one
    tls: bool = False
    ca_file: str = ""  #: on the machine that asks; where the system's CAs do not do
    pin_sha256: str = ""  #: of the one certificate that counts
    name: str = ""  #: that its certificate has, where another address is asked


def ask(
    host: Host, where: Where, *commands: tuple[str, ...], seconds: float = ANSWER_SECONDS
) -> list[object]:
    """Commands to the server, through its machine. Raises HostFault without all the answers."""
    asked = [command(*words) for words in commands]
    if where.password_file:
        password = (host.read(where.password_file) or "").strip()
        if not password:
            raise LockedOut(f"the password file {where.password_file} is missing or empty")
        asked.insert(0, command("AUTH", *([where.user] if where.user else []), password))
    trust = None
    if where.tls:
        trust = replace(read_trust(host.read, where.ca_file, where.pin_sha256), name=where.name)
    try:
        got = replies(
            host.tcp(
                where.address,
                where.port,
                seconds=seconds,
                send=b"".join(asked),
                complete=lambda so_far: len(replies(so_far)) >= len(asked),
                trust=trust,
            )
        )
    except NotRedis as strange:
        raise HostFault(f"{where.address}:{where.port}: {strange}") from strange
    if len(got) < len(asked):
        raise HostFault(f"{where.address}:{where.port} closed the connection")
    if where.password_file and isinstance(said := got.pop(0), ErrorReply):
        raise LockedOut(f"the password in {where.password_file} is not accepted: {said.text}")
    return got


def pause_after(waited: float) -> float:
    """A thirtieth of what a load has taken so far: that it is over costs no more than that."""
    return min(max(FIRST_PAUSE, waited / 30), LONGEST_PAUSE)


def module_lines(listed: object) -> tuple[str, ...]:
    """The path and arguments of each, as a server would have to load it."""
    found = []
    for module in listed if isinstance(listed, list) else ():
        pairs = dict(zip(module[::2], module[1::2], strict=False))
        path = pairs.get(b"path", b"")
        words = [path, *(pairs.get(b"args") or ())]
        if path:
            found.append(shlex.join(word.decode() for word in words))
    return tuple(found)
