"""A new base without a fork at the source: a proved dump takes the place of a log that grew long.

What lives here: offering a dump that was cut from the newest history and proved, and beginning a
new history with it. What must not: proving (cutting.py), and when a capture looks for an offer.

The new history has the dump as its base and the log from the dump's place on. The old one stays
as it is until it is removed for its age. Only the capture writes histories: who offers a base
writes nothing but the offer, and the capture may take it, now or after a crash, or never.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tasks.backup import history
from tasks.backup.history import About, Sealed
from tasks.backup.segment import Segment, head

OFFER, OFFERED = "next-base.json", "next-base.rdb"


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in a history where its log may be cut."""

    segment: int
    position: int  #: in that segment's file
    offset: int  #: of the stream
    database: int  #: which one is selected there
    replid: str
    stamp: int  #: the second that the log has reached there


@dataclass(frozen=True, slots=True)
class Offer:
    """A proved dump of all that a history has before this spot."""

    history: str
    spot: Spot
    bytes: int
    sha256: str


def offer(root: Path, offered: Offer, dump: Path) -> None:
    """Lay the dump ready under a second name, and say so."""
    (root / OFFER).unlink(missing_ok=True)
    (root / OFFERED).unlink(missing_ok=True)
    try:
        os.link(dump, root / OFFERED)
    except OSError:
        # On another disk; it becomes the base only if it is whole there.
        with dump.open("rb") as source, (root / OFFERED).open("xb") as copy:
            shutil.copyfileobj(source, copy)
            copy.flush()
            os.fsync(copy.fileno())
    history.write_durably(root / OFFER, json.dumps(asdict(offered)) + "\n")


def offered(root: Path) -> Offer | None:
    """What is offered; one that cannot be read is none."""
    try:
        said = json.loads((root / OFFER).read_text())
        found = Offer(**{**said, "spot": Spot(**said["spot"])})
        return found if (root / OFFERED).stat().st_size == found.bytes else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def withdraw(root: Path) -> None:
    for name in (OFFER, OFFERED):
        # What cannot be removed now is found not to fit the next time.
        with contextlib.suppress(OSError):
            (root / name).unlink(missing_ok=True)


def roll(segment: Segment, taken: Offer, now: int) -> Segment:
    """Seal the open segment and go on in a new history, with the offered dump as its base."""
    root, old = segment.folder.parent, segment.folder
    database, replid = segment.log.database, segment.log.replid
    tail = segment.take_off_tail()
    segment.seal()
    about = history.read_about(old)
    began = float(taken.spot.stamp)
    name = history.next_name(root, began, replid)
    incoming = root / f"{history.INCOMING}{name}"
    (incoming / history.LOG_FOLDER).mkdir(parents=True, mode=0o700)
    os.link(root / OFFERED, incoming / history.LOG_FOLDER / history.BASE)
    chain = _carried_over(old, incoming, taken)
    lines = "".join(json.dumps(asdict(each)) + "\n" for each in chain)
    history.write_durably(incoming / history.CHAIN, lines)
    based = replace(
        about,
        began_at=began,
        replid=taken.spot.replid,
        offset=taken.spot.offset,
        base_bytes=taken.bytes,
        base_sha256=taken.sha256,
    )
    _finish(incoming, based, len(chain))
    incoming.rename(root / name)
    history.sync_folder(root)
    begun = Segment.new(
        root / name,
        len(chain) + 1,
        replid=replid,
        offset=segment.log.offset,
        database=database,
        now=max(now, segment.stamp),
    )
    begun.add(tail)
    withdraw(root)
    return begun


def _finish(incoming: Path, about: About, segments: int) -> None:
    history.complete(incoming, about, segments=segments)
    for folder in (incoming / history.LOG_FOLDER, incoming):
        history.sync_folder(folder)


def _carried_over(old: Path, new: Path, taken: Offer) -> list[Sealed]:
    """The log after the spot: the rest of its segment in a new file, the others as they are."""
    source, target = old / history.LOG_FOLDER, new / history.LOG_FOLDER
    chain: list[Sealed] = []
    before = taken.sha256
    for number, each in enumerate(history.read_chain(old)[taken.spot.segment - 1 :], start=1):
        path = target / history.segment_name(number)
        if number == 1:
            _write_rest(source / history.segment_name(each.number), path, taken.spot)
            each = replace(
                each,
                bytes=path.stat().st_size,
                sha256=history.sha256_of(path),
                first_stamp=taken.spot.stamp,
                from_offset=taken.spot.offset,
            )
        else:
            os.link(source / history.segment_name(each.number), path)
        before = history.link_hash(before, each.sha256)
        chain.append(replace(each, number=number, chain=before))
    return chain


def _write_rest(segment: Path, into: Path, spot: Spot) -> None:
    with segment.open("rb") as source, into.open("xb") as target:
        os.fchmod(target.fileno(), 0o600)
        target.write(head(spot.stamp, spot.database, spot.replid, spot.offset))
        source.seek(spot.position)
        shutil.copyfileobj(source, target)
        target.flush()
        os.fsync(target.fileno())
