"""The `ssh` of a fleet file: who may log in to a machine, with which key, over which other one.

What lives here: its shape and the values made of it. What must not: connecting (door.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

from orchestrator.schema import Line, Port, Shape


@dataclass(frozen=True, slots=True)
class Jump:
    """A machine over which others are reached."""

    address: str
    user: str
    key: str
    port: int


@dataclass(frozen=True, slots=True)
class Access:
    """How a machine is reached over SSH."""

    user: str
    key: str
    port: int
    known_hosts: str  #: beside the key, unless the file says otherwise
    jump: Jump | None = None


class JumpShape(Shape):
    """A machine in between; with the same user and key unless it says otherwise."""

    address: Line
    user: Line | None = None
    key: Line | None = None
    port: Port = 22


class SshShape(Shape):
    user: Line
    key: Line
    port: Port = 22
    known_hosts: Line | None = None
    jump: JumpShape | None = None

    @property
    def access(self) -> Access:
        at = self.jump
        between = (
            Jump(at.address, at.user or self.user, at.key or self.key, at.port) if at else None
        )
        known = self.known_hosts or str(PurePath(self.key).with_name("known_hosts"))
        return Access(self.user, self.key, self.port, known, between)
