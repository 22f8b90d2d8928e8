"""Follows a Redis server's replication stream into a history on disk: the time machine.

    python -m tasks.backup.capture --settings FILE

What lives here: the process, its settings, and when it syncs, seals, reports and tries again.
What must not: the files' format (history.py). It loses nothing that it acknowledged: the place
to go on from is read from the disk, and a source that was emptied or replaced begins a new
history beside the old one. `status.json` in its folder says where it is, every second.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import fcntl
import json
import os
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from tasks.arguments import BadArguments, read_arguments
from tasks.backup import choosing, history, rolling
from tasks.backup.asking import module_lines
from tasks.backup.commandlog import offset_line
from tasks.backup.following import Place, Watch
from tasks.backup.history import About, DamagedHistory, Range
from tasks.backup.link import Link, LinkFault, LinkRefused, Server
from tasks.backup.rdbstream import NotADump
from tasks.backup.receiving import Continues, DumpFile, Full, Written, open_stream, receive
from tasks.backup.segment import Segment

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 30.0
#: So long without a fault, and the next fault is a first one again.
STEADY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What a settings file holds, as JSON."""

    directory: str  #: where histories are kept; of this source alone
    address: str
    port: int = 6379
    password_file: str = ""
    user: str = ""  #: an ACL user, with +psync +replconf +ping +info +config|get
    segment_bytes: int = 16 * 1024 * 1024
    segment_seconds: float = 60.0
    free_bytes: int = 512 * 1024 * 1024  #: left free on the disk, always


class Capture:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.root = Path(settings.directory)
        self.server = Server(settings.address, settings.port, settings.password_file, settings.user)
        self.segment: Segment | None = None
        self.stopping = False
        self.covers_until = _covered(self.root)
        self.known: list[Range] = []  #: the histories, as far as they are sealed
        self.steady_since = time.monotonic()
        self._told: dict[str, Any] = {}
        self._fault: tuple[str, float | None] = ("", None)

    def stop(self, _signal: int, _frame: FrameType | None) -> None:
        self.stopping = True

    def run(self) -> None:
        """Until told to stop. Whatever goes wrong is said in the status, and tried again."""
        for leftover in self.root.glob(f"{history.INCOMING}*"):
            shutil.rmtree(leftover)
        pause = FIRST_PAUSE
        while not self.stopping:
            self.steady_since = time.monotonic()
            try:
                self._check_room()
                self._reopen()
                with Link(self.server) as link:
                    self._follow(link)
                break
            except (LinkFault, LinkRefused, NotADump, DamagedHistory) as fault:
                reason = str(fault)
            except OSError as error:
                reason = f"{self.root} cannot be written: {error.strerror or error}"
            if time.monotonic() - self.steady_since > STEADY_SECONDS:
                pause = FIRST_PAUSE
            self._say("waiting", f"{reason}; tried again in {pause:.1f} s")
            self._wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
        if self.segment:
            self.segment.sync()
            self.segment.close()
        self._say("stopped", "told to stop")

    def _wait(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while not self.stopping and time.monotonic() < ends:
            time.sleep(0.05)
            # That it waits is news each second: a status that gets old is that of a dead one.
            self._still()

    def _reopen(self) -> None:
        """The newest history's open end, as it is on the disk."""
        if self.segment:
            self.segment.close()
            self.segment = None
        if known := history.histories(self.root):
            try:
                self.segment = Segment.reopened(known[-1], time.time())
            except (DamagedHistory, ValueError, KeyError) as damage:
                # It stays as it is, for whoever wants to save what can be; a new one is begun.
                self._say("damaged", f"{known[-1].name} is not continued: {damage}")
        self._look_again()

    def _look_again(self) -> None:
        """What there is, for the status: others remove histories for their age."""
        self.known = choosing.readable(self.root)

    def _follow(self, link: Link) -> None:
        last = self.segment
        log = last.log if last else None
        source = _about_source(link)
        answer = open_stream(link, log.replid, log.offset) if log else open_stream(link)
        match answer:
            case Continues(replid) if last and log:
                if replid != log.replid:
                    last.add(offset_line(replid, log.offset))
                rest = b""
                segment = last
            case Full():
                segment, rest = self._begin(link, answer, source)
            case _:
                raise LinkFault(f"{self.server.name} goes on with a stream that was never begun")
        self.segment = segment
        self._look_again()
        # The source sends on only when the dump was acknowledged.
        link.send("REPLCONF", "ACK", str(segment.log.offset))
        place = Place(link, segment, rest)
        watch = Watch(self.server)
        try:
            while not self.stopping:
                place.take(until=time.monotonic() + 1.0)
                self._each_second(place, watch)
        finally:
            self.segment = place.segment
            watch.close()

    def _each_second(self, place: Place, watch: Watch) -> None:
        place.acknowledge()
        settings, segment = self.settings, place.segment
        if base := rolling.offered(self.root):
            place.roll(base)
        elif segment.log.commands and (
            segment.size >= settings.segment_bytes or place.age >= settings.segment_seconds
        ):
            place.seal()
        if place.segment is not segment:
            self._look_again()
        watch.look(place.segment.log.offset)
        self.covers_until = watch.covers_until or self.covers_until
        self._say("following", "", {**place.told(), **watch.told()})
        self._check_room()

    def _begin(self, link: Link, full: Full, source: _Source) -> tuple[Segment, bytes]:
        """A new history from a whole dump; the old one is closed and kept."""
        began_at = time.time()
        if self.segment:
            self.segment.take_off_tail()
            if self.segment.log.commands:
                self.segment.seal()
        if known := history.histories(self.root):
            self._check_room(history.read_about(known[-1]).base_bytes)
        name = history.next_name(self.root, began_at, full.replid)
        incoming = self.root / f"{history.INCOMING}{name}"
        (incoming / history.LOG_FOLDER).mkdir(parents=True, mode=0o700)
        self._say("syncing", f"receiving a dump for {name}")
        dump = DumpFile(incoming / history.LOG_FOLDER / history.BASE)
        try:
            rest = receive(link, dump.write, go_on=lambda: self._receiving(name, dump))
            about = About(
                self.server.name,
                began_at,
                full.replid,
                full.offset,
                *_facts(dump.finish()),
                *source,
            )
        except BaseException:
            dump.discard()
            shutil.rmtree(incoming)
            raise
        history.complete(incoming, about)
        incoming.rename(self.root / name)
        history.sync_folder(self.root)
        return Segment.reopened(self.root / name, began_at), rest

    def _receiving(self, name: str, dump: DumpFile) -> bool:
        self._still(f"receiving a dump for {name}, {dump.bytes} bytes so far")
        return not self.stopping

    def _check_room(self, more: int = 0) -> None:
        needed = self.settings.free_bytes + more
        if shutil.disk_usage(self.root).free < needed:
            raise OSError(errno.ENOSPC, f"less than the {needed} bytes that must be left are free")

    def _say(self, state: str, reason: str, more: dict[str, object] | None = None) -> None:
        if state in ("waiting", "damaged"):
            self._fault = (reason, time.time())
        told: dict[str, Any] = {
            "state": state,
            "reason": reason,
            "at": time.time(),
            "source": self.server.name,
            "pid": os.getpid(),
            "covers_until": self.covers_until,
            "histories": [[each.history, each.begins, each.ends] for each in self.known],
            "last_fault": self._fault[0],
            "last_fault_at": self._fault[1],
            **(more or {}),
        }
        if state != "following":
            print(f"{state}: {reason}", flush=True)
        self._write(told)

    def _still(self, reason: str = "") -> None:
        """The same is going on, after a second."""
        now = time.time()
        if abs(now - self._told["at"]) >= 1.0:
            self._write({**self._told, "at": now, "reason": reason or self._told["reason"]})

    def _write(self, told: dict[str, Any]) -> None:
        self._told = told
        # A full disk must not keep it from going on when there is room again.
        with contextlib.suppress(OSError):
            temporary = self.root / ".status.new"
            temporary.write_text(json.dumps(told) + "\n")
            temporary.replace(self.root / "status.json")


_Source = tuple[str, tuple[str, ...]]  #: its version, and its modules with their arguments


def _about_source(link: Link) -> _Source:
    """As far as it may be asked: who only may follow is told nothing."""
    said, listed = link.ask_all([("INFO", "server"), ("MODULE", "LIST")])
    text = said.decode(errors="replace") if isinstance(said, bytes) else ""
    info = dict(line.partition(":")[::2] for line in text.splitlines())
    return info.get("redis_version", ""), module_lines(listed)


def _facts(written: Written) -> tuple[int, str, bool]:
    return written.bytes, written.sha256, written.checksummed


def _covered(root: Path) -> float | None:
    """Until when all was on the disk when this was last said: it still is."""
    try:
        said = json.loads((root / "status.json").read_text())["covers_until"]
    except (OSError, ValueError, KeyError):
        return None
    return said if isinstance(said, float) else None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tasks.backup.capture", description=__doc__)
    parser.add_argument("--settings", required=True, type=Path)
    path = parser.parse_args().settings
    try:
        settings = read_arguments(Settings, json.loads(path.read_text()))
    except (OSError, ValueError, BadArguments) as error:
        print(f"{path}: {error}", file=sys.stderr)
        return 1
    os.umask(0o077)
    root = Path(settings.directory)
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{root} is being written by another capture: end that one", file=sys.stderr)
            return 1
        capture = Capture(settings)
        signal.signal(signal.SIGTERM, capture.stop)
        signal.signal(signal.SIGINT, capture.stop)
        capture.run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
