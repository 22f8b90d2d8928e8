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
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

from tasks.arguments import BadArguments, read_arguments
from tasks.backup import history
from tasks.backup.commandlog import offset_line
from tasks.backup.following import Place, Watch
from tasks.backup.history import About, DamagedHistory, Segment
from tasks.backup.link import Link, LinkFault, LinkRefused, Server
from tasks.backup.rdbstream import NotADump
from tasks.backup.receiving import Continues, DumpFile, Full, open_stream, receive

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
        self.steady_since = time.monotonic()

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

    def _follow(self, link: Link) -> None:
        last = self.segment
        log = last.log if last else None
        answer = open_stream(link, log.replid, log.offset) if log else open_stream(link)
        match answer:
            case Continues(replid) if last and log:
                if replid != log.replid:
                    last.add(offset_line(replid, log.offset))
                rest = b""
                segment = last
            case Full():
                segment, rest = self._begin(link, answer)
            case _:
                raise LinkFault(f"{self.server.name} goes on with a stream that was never begun")
        self.segment = segment
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
        if segment.log.commands and (
            segment.size >= settings.segment_bytes or place.age >= settings.segment_seconds
        ):
            place.seal()
        watch.look(place.segment.log.offset)
        self._say("following", "", {**place.told(), **watch.told()})
        if shutil.disk_usage(self.root).free < settings.free_bytes:
            raise OSError(errno.ENOSPC, f"less than {settings.free_bytes} bytes would be left free")

    def _begin(self, link: Link, full: Full) -> tuple[Segment, bytes]:
        """A new history from a whole dump; the old one is closed and kept."""
        began_at = time.time()
        if self.segment:
            self.segment.take_off_tail()
            if self.segment.log.commands:
                self.segment.seal()
        known = history.histories(self.root)
        needed = self.settings.free_bytes + (
            history.read_about(known[-1]).base_bytes if known else 0
        )
        if shutil.disk_usage(self.root).free < needed:
            raise OSError(errno.ENOSPC, f"a new history needs {needed} free bytes")
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(began_at))
        incoming = self.root / f"{history.INCOMING}{stamp}"
        (incoming / history.LOG_FOLDER).mkdir(parents=True, mode=0o700)
        self._say("syncing", f"receiving a dump for a new history ({incoming.name})")
        dump = DumpFile(incoming / history.LOG_FOLDER / history.BASE)
        try:
            rest = receive(link, dump.write, go_on=lambda: not self.stopping)
            written = dump.finish()
        except BaseException:
            dump.discard()
            shutil.rmtree(incoming)
            raise
        about = About(
            self.server.name,
            began_at,
            full.replid,
            full.offset,
            written.bytes,
            written.sha256,
            written.checksummed,
        )
        history.write_durably(
            incoming / history.LOG_FOLDER / history.MANIFEST, history.aof_manifest(0)
        )
        history.write_durably(incoming / history.ABOUT, json.dumps(asdict(about), indent=1) + "\n")
        folder = self.root / history.folder_name(stamp, full.replid)
        incoming.rename(folder)
        history.sync_folder(self.root)
        return Segment.reopened(folder, began_at), rest

    def _say(self, state: str, reason: str, more: dict[str, object] | None = None) -> None:
        told = {
            "state": state,
            "reason": reason,
            "at": time.time(),
            "source": self.server.name,
            "pid": os.getpid(),
            **(more or {}),
        }
        if state != "following":
            print(f"{state}: {reason}", flush=True)
        # A full disk must not keep it from going on when there is room again.
        with contextlib.suppress(OSError):
            temporary = self.root / ".status.new"
            temporary.write_text(json.dumps(told) + "\n")
            temporary.replace(self.root / "status.json")


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
