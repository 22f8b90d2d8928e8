"""Reads one YAML file into plain values, with the line of each, or says everything wrong with it.

What lives here: the small part of YAML that configuration needs. What must not: any meaning
of the values. Read by events rather than through a loader, because the usual loaders take the
last of two equal keys in silence, expand aliases without bound, and make `on` a truth value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from orchestrator.core.plan import Fault
from tasks.contract import Json

SIZE_LIMIT = 1024 * 1024  #: bytes; a fleet of thousands of machines is well below
DEPTH_LIMIT = 20

#: The place of a value in a document: keys and list indexes.
Place = tuple[str | int, ...]

# At most 18 digits: longer ones are no number that anybody meant.
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_BROKEN = re.compile(r"[-+]?[0-9]{1,18}\.[0-9]{1,18}")
_WORDS: Mapping[str, Json] = {"": None, "~": None, "null": None, "true": True, "false": False}
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def written(place: Place) -> str:
    """As people write it: machines.redis.address, ladder[0].steps[2]."""
    text = "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in place)
    return text.removeprefix(".")


def _fault(name: str, line: int | None, place: Place, message: str) -> Fault:
    where = name if line is None else f"{name} line {line}"
    where = f"{where}, {written(place)}" if place else where
    return Fault(_harmless(where), _harmless(message))


def _harmless(text: str) -> str:
    """What a file holds must not break the line, or steer the terminal, that it is shown on."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says. `name` is how faults call the file."""

    name: str
    content: Json
    lines: Mapping[Place, int]

    def fault(self, place: Place, message: str) -> Fault:
        """A fault with its line; for what is missing, the line of what it is missing from."""
        near = place
        while near and near not in self.lines:
            near = near[:-1]
        return _fault(self.name, self.lines.get(near), place, message)


def read_document(path: Path) -> Document | tuple[Fault, ...]:
    """The file's values, or every fault of it."""
    text = _text(path)
    if isinstance(text, Fault):
        return (text,)
    reader = _Reader(str(path))
    try:
        content = reader.document(yaml.parse(text, Loader=_Loader))
    except _TooDeep as deep:
        return (reader.at(deep.line, f"is nested more than {DEPTH_LIMIT} deep; make it flatter"),)
    except yaml.YAMLError as error:
        return (*reader.faults, _syntax(str(path), error))
    if content is None and not reader.faults:
        return (Fault(str(path), "is empty; `autobot-dr init` writes one to start from"),)
    return tuple(reader.faults) or Document(str(path), content, reader.lines)


def _text(path: Path) -> str | Fault:
    name = str(path)
    # A pipe or a device could keep us waiting for ever.
    if path.exists() and not path.is_file():
        return Fault(name, "is not a file; name a YAML file")
    try:
        with path.open("rb") as file:
            data = file.read(SIZE_LIMIT + 1)
    except FileNotFoundError:
        return Fault(name, "does not exist; name another file, or let `autobot-dr init` write one")
    except OSError as error:
        return Fault(name, f"cannot be read: {error.strerror}")
    if len(data) > SIZE_LIMIT:
        return Fault(name, f"is larger than {SIZE_LIMIT // 1024**2} MB; no configuration is")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return Fault(name, f"is not UTF-8 text at byte {error.start}; save it as UTF-8")


def _syntax(name: str, error: yaml.YAMLError) -> Fault:
    mark = getattr(error, "problem_mark", None)
    said = getattr(error, "problem", None) or str(error).splitlines()[0]
    where = f"{name} line {mark.line + 1}" if mark else name
    return Fault(where, f"is not YAML: {said}; mind the indentation and the quotes")


class _TooDeep(Exception):
    """Nested deeper than any configuration."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


class _Reader:
    """Builds values from YAML events and collects what it does not accept."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.faults: list[Fault] = []
        self.lines: dict[Place, int] = {}

    def at(self, line: int, message: str, place: Place = ()) -> Fault:
        return _fault(self.name, line, place, message)

    def document(self, events: Iterator[Any]) -> Json:
        content: Json = None
        documents = 0
        for event in events:
            if not isinstance(event, yaml.DocumentStartEvent):
                continue
            first = next(events)
            documents += 1
            if documents > 1:
                message = "a second document begins; keep one document in a file"
                self.faults.append(self.at(first.start_mark.line + 1, message))
                break
            content = self.node(first, events, ())
        return content

    def node(self, event: Any, events: Iterator[Any], place: Place) -> Json:
        line = event.start_mark.line + 1
        self.lines[place] = line
        if len(place) > DEPTH_LIMIT:
            raise _TooDeep(line)
        if isinstance(event, yaml.AliasEvent) or event.anchor:
            message = f"anchors and aliases are not accepted ({event.anchor}); write it out"
            self.faults.append(self.at(line, message, place))
        if isinstance(event, yaml.AliasEvent):
            return None
        if event.tag:
            message = f"tags are not accepted ({event.tag}); write the plain value"
            self.faults.append(self.at(line, message, place))
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(events, place)
        if isinstance(event, yaml.MappingStartEvent):
            return self.mapping(events, place)
        return _resolved(event.value) if event.implicit[0] else event.value

    def sequence(self, events: Iterator[Any], place: Place) -> list[Json]:
        found: list[Json] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            found.append(self.node(event, events, (*place, len(found))))
        return found

    def mapping(self, events: Iterator[Any], place: Place) -> dict[str, Json]:
        found: dict[str, Json] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            line = event.start_mark.line + 1
            if not isinstance(event, yaml.ScalarEvent):
                self.faults.append(self.at(line, "a key must be a plain word", place))
                self.node(event, events, (*place, ""))
                self.node(next(events), events, (*place, ""))
                continue
            key, here = event.value, (*place, event.value)
            if key in found:
                message = f"stands here a second time, first in line {self.lines[here]}; keep one"
                self.faults.append(self.at(line, message, here))
                self.node(next(events), events, (*place, ""))
                continue
            found[key] = self.node(next(events), events, here)
            self.lines[here] = line
        return found


def _resolved(text: str) -> Json:
    """A plain word's value. `yes`, `on`, dates and clock times stay text."""
    if text in _WORDS:
        return _WORDS[text]
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _BROKEN.fullmatch(text) else text
