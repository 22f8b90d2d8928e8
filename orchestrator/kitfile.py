"""The part of fleet.yaml that is about the recovery kit: for whom, where, and where else.

What lives here: its shape, the value made of it, and its warnings. What must not: the rest of the
fleet file (fleetfile.py), and making a kit (kitmaking.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, Field

from orchestrator.core.plan import Fault
from orchestrator.schema import Line, Shape
from orchestrator.sshfile import Access
from orchestrator.yamlfile import Document
from tasks.kit.sealing import Recipient, read_recipient

_FAR = re.compile(r"ssh://([^@/\s]+)@([A-Za-z0-9.-]+)(?::([0-9]{1,5}))?(/.+)")


@dataclass(frozen=True, slots=True)
class Far:
    """A folder on another machine, over SSH."""

    address: str
    user: str
    port: int
    folder: str


@dataclass(frozen=True, slots=True)
class KitPlace:
    """Who can open the kit, its folder on the coordinator's machine, and a second place."""

    recipients: tuple[Recipient, ...]
    folder: str
    offsite: str | Far | None
    access: Access  #: for a place that is reached over SSH


def _recipient(given: str) -> str:
    if "SECRET-KEY" in given.upper() or "PRIVATE KEY" in given.upper():
        raise ValueError("is a private key, which has no place here; name its public half (age1…)")
    if read_recipient(given) is None:
        raise ValueError(
            "must be a public key of age (age1…, by age-keygen) or SSH (ssh-ed25519 …) and after "
            f"it, if you like, whose it is, not {given!r}"
        )
    return given


def _absolute(given: str) -> str:
    if not given.startswith("/") or ".." in given.split("/") or not given.strip("/"):
        raise ValueError(f"must be the absolute path of a folder of its own, not {given!r}")
    return given.rstrip("/")


def _offsite(given: str) -> str:
    if given.startswith("/"):
        return _absolute(given)
    match = _FAR.fullmatch(given)
    if match is None:
        raise ValueError(f"must be a path, or ssh://user@host/path, not {given!r}")
    _absolute(match[4])
    return given


class KitShape(Shape):
    folder: Annotated[Line, AfterValidator(_absolute)]
    recipients: list[Annotated[Line, AfterValidator(_recipient)]] = Field(default_factory=list)
    offsite: Annotated[Line, AfterValidator(_offsite)] | None = None

    def place(self, access: Access) -> KitPlace:
        read = (read_recipient(each) for each in self.recipients)
        return KitPlace(tuple(r for r in read if r), self.folder, self._far(), access)

    def _far(self) -> str | Far | None:
        match = _FAR.fullmatch(self.offsite or "")
        if match is None:
            return self.offsite
        return Far(match[2], match[1], int(match[3] or 22), match[4].rstrip("/"))


def warnings(document: Document, shape: KitShape | None) -> Iterator[Fault]:
    """What leaves people without a way to the backups, for a fleet that has some."""
    if shape is None:
        message = "there is none: without one, nobody can restore without this program; add `kit`"
        yield document.fault(("kit",), message)
        return
    if not shape.recipients:
        message = "nobody: the kit will hold no passwords; name two people's age keys at least"
        yield document.fault(("kit", "recipients"), message)
    elif len(set(shape.recipients)) == 1:
        message = "one only: when that key is lost, so are the passwords; name a second one"
        yield document.fault(("kit", "recipients"), message)
    if shape.offsite is None:
        message = "has no `offsite`: the kit burns with the machine; name a second place"
        yield document.fault(("kit",), message)
