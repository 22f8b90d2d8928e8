"""A proved backup of what was captured: now, or as it was after any second.

    python -m tasks.backup.cutting --settings FILE   prints it as JSON; 1 and a sentence otherwise

What lives here: loading a history in a scratch server, comparing it with the source where it can
be asked, saving and proving a dump, and offering that as the next base. What must not: the
capture's own files. A process of its own, as dump.py is, for the same reasons.

The source says in one answer how far its stream is and how many keys it has; the log is cut at
exactly that place, so the counts must be the same.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from tasks.arguments import BadArguments, read_arguments
from tasks.backup import choosing, history, proving, rolling
from tasks.backup import manifest as manifests
from tasks.backup.choosing import NotCovered
from tasks.backup.dump import sweep
from tasks.backup.evidence import databases
from tasks.backup.history import DamagedHistory
from tasks.backup.link import Link, LinkFault, LinkRefused, Server
from tasks.backup.manifest import Count, Manifest, State
from tasks.backup.rolling import Offer, Spot
from tasks.backup.scratch import NotLoaded, Programs
from tasks.host import HostFault, LocalHost

INCOMING = ".incoming-"
#: For the capture to write down what the source had when it was asked.
CATCH_UP_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What a settings file holds, as JSON. `at` and `name`: for one second, as one backup."""

    into: str  #: the folder for backups; each is a new folder in it
    captured: str  #: the folder with the histories
    address: str
    port: int = 6379
    password_file: str = ""
    user: str = ""
    at: int | None = None
    name: str = ""
    only_plan: bool = False  #: say what would be loaded, and do nothing
    patterns: tuple[str, ...] = ()
    server: str = "redis-server"
    cli: str = "redis-cli"
    window_s: float = 2 * 86400.0  #: any second of it can be restored
    #: A log that is as long as its base, or as old, is replaced by a new base.
    base_bytes: int = 64 * 1024 * 1024
    base_seconds: float = 86400.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What the source said of itself in one answer."""

    at: float
    offset: int
    replid: str
    keys: Mapping[str, Count]


@dataclass(frozen=True, slots=True)
class Made:
    """A new backup folder; its manifest says whether it was proved."""

    folder: Path
    manifest: Manifest
    load_seconds: float  #: for the history itself, base and log


class NotCut(Exception):
    """No backup was made, and nothing was left behind; what was captured is as it was."""


def ask(server: Server) -> Asked | None:
    """None where the source does not answer, or may not be asked."""
    try:
        with Link(server) as link:
            at, said = time.time(), link.ask("INFO")
    except (LinkFault, LinkRefused):
        return None
    text = said.decode(errors="replace") if isinstance(said, bytes) else ""
    info = dict(line.partition(":")[::2] for line in text.splitlines())
    if info.get("loading") != "0" or "master_repl_offset" not in info:
        return None
    return Asked(at, int(info["master_repl_offset"]), info["master_replid"], databases(info))


def caught_up(root: Path, asked: Asked, seconds: float = CATCH_UP_SECONDS) -> bool:
    """Whether the capture has all that the source had when it was asked."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        said = choosing.status_of(root)
        if said.get("replid") == asked.replid and said.get("offset", -1) >= asked.offset:
            return True
        time.sleep(0.1)
    return False


def cut(settings: Settings) -> Made:
    """A new backup, proved or failed. Raises NotCut."""
    try:
        if settings.at is not None:
            return _of_second(settings, settings.at)
        return _of_now(settings)
    except (NotLoaded, NotCovered, HostFault) as fault:
        raise NotCut(str(fault)) from fault
    except DamagedHistory as fault:
        raise NotCut(f"{fault}: what was captured is not what was written") from fault
    except OSError as error:
        raise NotCut(f"{error.filename or settings.into}: {error.strerror}") from error


def _of_second(settings: Settings, at: int) -> Made:
    folder, until = choosing.for_second(Path(settings.captured), at)
    return _proved(settings, folder, None, at=at, covers_until=until, source=None)


def _of_now(settings: Settings) -> Made:
    root = Path(settings.captured)
    server = Server(settings.address, settings.port, settings.password_file, settings.user)
    asked = ask(server)
    if asked is None or not caught_up(root, asked):
        asked = None
    folder = choosing.newest(root)
    spot = choosing.find_spot(folder, asked.offset if asked else None)
    covers = choosing.status_of(root).get("covers_until") or float(spot.stamp)
    made = _proved(
        settings, folder, spot, at=None, covers_until=asked.at if asked else covers, source=asked
    )
    if made.manifest.state is State.VERIFIED:
        _note(settings, folder, spot, made)
        going = choosing.too_old(
            choosing.readable(root), folder.name, settings.window_s, time.time()
        )
        choosing.remove(root, going)
    return made


def _proved(
    settings: Settings,
    folder: Path,
    spot: Spot | None,
    *,
    at: int | None,
    covers_until: float,
    source: Asked | None,
) -> Made:
    if damage := list(history.faults(folder, last=spot.segment if spot else None)):
        raise DamagedHistory(manifests.told(tuple(damage)))
    about = history.read_about(folder)
    programs = Programs(settings.server, settings.cli, modules=about.module_files)
    name = settings.name or f"{manifests.new_id(time.time(), about.replid)}-cut"
    into, incoming = Path(settings.into) / name, Path(settings.into) / f"{INCOMING}{name}"
    host = LocalHost()
    try:
        manifest = proving.cut(
            host,
            str(folder),
            str(incoming),
            programs,
            at=at,
            patterns=settings.patterns,
            spot=spot,
            name=name,
            covers_until=covers_until,
        )
        took = manifest.load_seconds
        if complaints := tuple(_differences(source, manifest)):
            manifest = manifests.failed(manifest, _unlike(complaints, folder))
            proving.write_manifest(host, str(incoming), manifest)
        incoming.rename(into)
    finally:
        # Renamed, it is not there any more.
        shutil.rmtree(incoming, ignore_errors=True)
    history.sync_folder(into.parent)
    if manifest.state is not State.FAILED:
        manifest, _ = proving.prove(host, str(into), programs, settings.patterns)
    return Made(into, manifest, took)


def _unlike(complaints: tuple[str, ...], folder: Path) -> str:
    return (
        f"what was captured is not what the source has: {manifests.told(complaints)}; begin a new "
        f"history: end the capture, rename {folder}, start it again"
    )


def _differences(source: Asked | None, manifest: Manifest) -> Iterator[str]:
    """Keys with a time to live may be fewer: the scratch server lets go what has expired."""
    if source is None or manifest.contents is None:
        return
    found = manifest.contents.databases
    for name in sorted({*source.keys, *found}):
        was, now = source.keys.get(name, Count(0)), found.get(name, Count(0))
        if now.keys - now.volatile != was.keys - was.volatile or now.volatile > was.volatile:
            yield (
                f"database {name} has {now.keys} keys, {now.volatile} with a time to live, and "
                f"the source had {was.keys} and {was.volatile} at the same offset"
            )


def _note(settings: Settings, folder: Path, spot: Spot, made: Made) -> None:
    """What was proved, for the status; and the dump as the next base, where the log is long."""
    root, about = Path(settings.captured), history.read_about(folder)
    log, manifest = _log_bytes(folder, spot), made.manifest
    said = {
        "backup": manifest.id,
        "history": folder.name,
        "offset": spot.offset,
        "covers_until": manifest.covers_until,
        "at": manifest.verified_at,
        "load_seconds": made.load_seconds,
        "loaded_bytes": about.base_bytes + log,
    }
    history.write_durably(root / choosing.VERIFIED, json.dumps(said) + "\n")
    old = time.time() - about.began_at > settings.base_seconds
    if log >= max(settings.base_bytes, about.base_bytes) or old:
        offered = Offer(folder.name, spot, manifest.size_bytes, manifest.sha256)
        rolling.offer(root, offered, made.folder / proving.DUMP)


def _log_bytes(folder: Path, spot: Spot) -> int:
    log = folder / history.LOG_FOLDER
    before = range(1, spot.segment)
    sizes = [(log / history.segment_name(number)).stat().st_size for number in before]
    return sum(sizes) + spot.position


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tasks.backup.cutting", description=__doc__)
    parser.add_argument("--settings", required=True, type=Path)
    path = parser.parse_args().settings
    os.umask(0o077)
    try:
        settings = read_arguments(Settings, json.loads(path.read_text()))
        if settings.only_plan:
            wanted = choosing.wanted_for(Path(settings.captured), settings.at)
            print(json.dumps({**asdict(wanted), "files": wanted.files}))
            return 0
        return _cut_alone(settings)
    except (OSError, ValueError, BadArguments) as error:
        print(f"{path}: {error}", file=sys.stderr)
    except (NotCovered, NotCut, DamagedHistory) as fault:
        print(fault, file=sys.stderr)
    return 1


def _cut_alone(settings: Settings) -> int:
    into = Path(settings.into)
    into.mkdir(parents=True, exist_ok=True)
    with (into / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another backup into {into} is being taken: wait for it", file=sys.stderr)
            return 1
        sweep(into)
        made = cut(settings)
    print(json.dumps({"folder": str(made.folder), "size_bytes": made.manifest.size_bytes}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
