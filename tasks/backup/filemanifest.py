"""The manifest inside each snapshot of files: what is in it, and by which hash it is known.

What lives here: the shape, and reading it strictly. What must not: collecting (collecting.py) or
proving (fileproof.py). With it a stranger can tell from the repository alone what was where.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from tasks.arguments import BadArguments, read_arguments
from tasks.contract import Json

NAME, VERSION = "manifest.json", 1
_BLOCK = 1024 * 1024


class NotAManifest(Exception):
    """It is not a manifest of files that this version reads; the snapshot cannot be proved."""


class Part(StrEnum):
    FILE = "file"
    LINK = "link"
    DATABASE = "database"  #: SQLite, copied consistently
    REPOSITORY = "repository"  #: git, as a bundle
    MODELS = "models"  #: what Ollama has, as it said


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that was backed up."""

    part: str
    path: str  #: where it was
    at: str = ""  #: where it is in the snapshot
    size: int = 0
    sha256: str = ""
    mode: int = 0
    uid: int = 0
    gid: int = 0
    target: str = ""  #: of a link
    refs: Mapping[str, str] = field(default_factory=dict)  #: of a repository


@dataclass(frozen=True, slots=True)
class FileManifest:
    job: str
    machine: str
    taken_at: float
    entries: tuple[Entry, ...]
    left_out: tuple[str, ...] = ()  #: sockets, pipes and devices hold no data

    @property
    def size_bytes(self) -> int:
        return sum(each.size for each in self.entries)

    def text(self) -> str:
        return json.dumps({"version": VERSION, **asdict(self)}, indent=1, sort_keys=True)

    def told(self) -> str:
        """What is in it, in few words."""
        count = {part: sum(each.part == part for each in self.entries) for part in Part}
        names = {
            "files": count[Part.FILE] + count[Part.LINK],
            "databases": count[Part.DATABASE],
            "repositories": count[Part.REPOSITORY],
            "lists of models": count[Part.MODELS],
        }
        return ", ".join(f"{name}: {number}" for name, number in names.items() if number)


def read(text: str) -> FileManifest:
    try:
        given = json.loads(text)
        if given.pop("version") != VERSION:
            raise NotAManifest(f"the manifest is not of version {VERSION}")
        entries = tuple(_entry(each) for each in given.pop("entries"))
        return replace(read_arguments(FileManifest, {**given, "entries": []}), entries=entries)
    except (BadArguments, ValueError, KeyError, TypeError, AttributeError) as fault:
        raise NotAManifest(f"the manifest cannot be read: {fault}") from fault


def _entry(given: Mapping[str, Json]) -> Entry:
    found = read_arguments(Entry, given)
    inside = found.at.split("/")
    # What is read here decides what is written on a machine by whoever restores it.
    if found.part not in set(Part) or ".." in inside or found.at.startswith("/"):
        raise ValueError(f"{found.part} {found.path!r} at {found.at!r}")
    if found.part != Part.LINK and not found.at:
        raise ValueError(f"{found.path!r} is nowhere in the snapshot")
    return found


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
