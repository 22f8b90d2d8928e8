"""What a folder of captured histories holds for a second or an offset, and what of it may go.

What lives here: finding the history and the place in it, how long loading it takes, and what is
too old. What must not: loading (cutting.py). Reads what a capture may be writing meanwhile.
"""

from __future__ import annotations

import contextlib
import copy
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.backup import history
from tasks.backup.commandlog import CommandLog, NotALog
from tasks.backup.history import DamagedHistory, Range
from tasks.backup.link import CHUNK
from tasks.backup.rolling import Spot
from tasks.backup.segment import head_of

VERIFIED, GOING = "verified.json", ".going-"
#: A source says something every 10 s, so an end is known this exactly.
IDLE_SECONDS = 15
#: Where nothing was loaded yet: below what any machine of these years does.
BYTES_A_SECOND = 50e6


class NotCovered(Exception):
    """The captured histories do not have what is wanted: choose a time that they have."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What has to be loaded for a second."""

    history: str
    base_bytes: int
    segments: tuple[int, ...]
    log_bytes: int
    covers_until: float
    seconds: float  #: about, for loading it once

    @property
    def files(self) -> tuple[str, ...]:
        return (history.BASE, *(history.segment_name(each) for each in self.segments))


def status_of(root: Path) -> Mapping[str, Any]:
    """What the capture said last; nothing when it never did."""
    return _json(root / "status.json")


def _json(path: Path) -> Mapping[str, Any]:
    try:
        said = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def newest(root: Path) -> Path:
    known = history.histories(root)
    if not known or not history.segments(known[-1]):
        raise NotCovered(f"nothing was captured in {root} yet: the capture must have begun")
    return known[-1]


def for_second(root: Path, at: int) -> tuple[Path, float]:
    """The newest history that has begun by then, and until when it is known. NotCovered."""
    last, ranges = newest(root), readable(root)
    begun = [each for each in ranges if each.begins <= at]
    if not begun:
        first = min((each.begins for each in ranges), default=time.time())
        raise NotCovered(f"{clock(at)} is before what was captured: that begins at {clock(first)}")
    if begun[-1].history != last.name:
        return root / begun[-1].history, _known_until(begun[-1], at)
    until = _end(root, last)
    if at + 1 > until:
        raise NotCovered(
            f"{clock(at)} is not over in what was captured, which reaches until {clock(until)}"
        )
    return last, float(at)


def readable(root: Path) -> list[Range]:
    """What each history covers, oldest first; one that is damaged must not hide the others."""
    found = []
    for folder in history.histories(root):
        with contextlib.suppress(DamagedHistory, OSError, ValueError, KeyError, TypeError):
            found.append(history.covered(folder))
    return found


def _known_until(closed: Range, at: int) -> float:
    """Between two histories nothing was heard of the source."""
    return float(at if at <= closed.ends + IDLE_SECONDS else closed.ends)


def _end(root: Path, last: Path) -> float:
    """Until when the newest history has everything."""
    said = status_of(root).get("covers_until")
    if isinstance(said, float | int):
        return float(said)
    # A source that may not be asked: what came last is what is known.
    return float(find_spot(last, None).stamp)


def find_spot(folder: Path, offset: int | None) -> Spot:
    """The place of this offset of the stream; the end of what is whole when that is None."""
    log = folder / history.LOG_FOLDER
    for number in range(history.segments(folder), 0, -1):
        path = log / history.segment_name(number)
        if offset is None or head_of(path)[1] <= offset:
            return _spot(path, number, offset)
    raise NotCovered(f"{folder} begins after offset {offset}")


def _spot(path: Path, number: int, offset: int | None) -> Spot:
    followed = CommandLog()
    try:
        with path.open("rb") as file:
            while data := file.read(CHUNK):
                before = copy.copy(followed)
                followed.feed(data)
                if offset is not None and followed.offset >= offset:
                    followed = _shortest(before, data, offset)
                    break
    except NotALog as damage:
        raise DamagedHistory(f"{path}: {damage}") from damage
    if offset is not None and followed.offset != offset:
        raise NotCovered(f"{path} has no command that ends at offset {offset}")
    return Spot(
        number,
        followed.cut,
        followed.offset,
        followed.database,
        followed.replid,
        followed.stamp or 0,
    )


def _shortest(before: CommandLog, data: bytes, offset: int) -> CommandLog:
    """The log just when it has reached the offset, which it does within this data."""
    low, high = 0, len(data)
    while low < high:
        middle = (low + high) // 2
        tried = copy.copy(before)
        tried.feed(data[:middle])
        low, high = (low, middle) if tried.offset >= offset else (middle + 1, high)
    reached = copy.copy(before)
    reached.feed(data[:low])
    return reached


def wanted_for(root: Path, at: int | None) -> Wanted:
    if at is None:
        folder = newest(root)
        until = _end(root, folder)
    else:
        folder, until = for_second(root, at)
    log, base = folder / history.LOG_FOLDER, history.read_about(folder).base_bytes
    numbers = tuple(
        number
        for number in range(1, history.segments(folder) + 1)
        if at is None or history.first_stamp(folder, number) <= at
    )
    size = sum((log / history.segment_name(each)).stat().st_size for each in numbers)
    return Wanted(folder.name, base, numbers, size, until, (base + size) / speed(root))


def speed(root: Path) -> float:
    """Bytes that a scratch server loads in a second, as the last proof here showed."""
    said = _json(root / VERIFIED)
    took, loaded = said.get("load_seconds", 0.0), said.get("loaded_bytes", 0)
    # A small one says more about starting a server than about loading.
    return loaded / took if took and loaded > BYTES_A_SECOND / 10 else BYTES_A_SECOND


def too_old(known: Sequence[Range], proved: str, window_s: float, now: float) -> tuple[str, ...]:
    """Histories before the one that was just proved, all of whose seconds are out of the window."""
    return tuple(e.history for e in known if e.history < proved and e.ends < now - window_s)


def remove(root: Path, names: Sequence[str]) -> None:
    """Each loses its name first, so that a crash leaves nothing that looks like a history."""
    for name in names:
        (root / name).rename(root / f"{GOING}{name}")
    for left in root.glob(f"{GOING}*"):
        shutil.rmtree(left)


def clock(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
