"""One dump of a running Redis, nightly or on demand, into a new backup folder.

    python -m tasks.backup.dump --settings FILE     prints the folder; 1 and a sentence otherwise

What lives here: taking it by replication, so that the source's disk is not used and its writes
are never stopped. What must not: believing it; that is proving.py's. It is a process of its
own, so that whoever started it can end it at a deadline and nothing half-done stays under a name.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks.arguments import BadArguments, read_arguments
from tasks.backup import manifest as manifests
from tasks.backup.asking import module_lines
from tasks.backup.history import sync_folder, write_durably
from tasks.backup.link import Link, LinkFault, LinkRefused, server_of
from tasks.backup.manifest import Manifest
from tasks.backup.pacing import Brake, Sayer, end_when_asked
from tasks.backup.rdbstream import NotADump
from tasks.backup.receiving import DumpFile, Full, open_stream, receive
from tasks.resp import ErrorReply

INCOMING = ".incoming-"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a settings file holds, as JSON."""

    into: str  #: the folder for backups; each is a new folder in it
    address: str
    port: int = 6379
    password_file: str = ""
    user: str = ""
    bytes_per_s: float = 0.0  #: no faster than that; 0 is as fast as it comes
    tls: bool = False
    ca_file: str = ""
    pin_sha256: str = ""


@dataclass(frozen=True, slots=True)
class _About:
    info: Mapping[str, str]
    modules: tuple[str, ...]
    module_files: tuple[str, ...]


class NotTaken(Exception):
    """No dump was taken, and nothing was left behind; the earlier backups are as they were."""


def take(settings: Settings) -> tuple[Path, Manifest]:
    """A new backup folder; its dump is whole by its own marks. Raises NotTaken."""
    server = server_of(settings)
    into = Path(settings.into)
    try:
        into.mkdir(parents=True, exist_ok=True, mode=0o700)
        with Link(server) as link:
            known = _about(link)
            full = open_stream(link)
            if not isinstance(full, Full):
                raise NotTaken(f"{server.name} went on with a stream that was never begun")
            return _received(link, full, known, into, settings.bytes_per_s)
    except (LinkFault, LinkRefused, NotADump) as fault:
        raise NotTaken(str(fault)) from fault
    except OSError as error:
        raise NotTaken(f"{into} cannot be written: {error.strerror or error}") from error


def _received(
    link: Link, full: Full, known: _About, into: Path, bytes_per_s: float
) -> tuple[Path, Manifest]:
    taken_at = time.time()
    name = manifests.new_id(taken_at, full.replid)
    incoming = into / f"{INCOMING}{name}"
    incoming.mkdir(mode=0o700)
    try:
        file = DumpFile(incoming / "dump.rdb")
        receive(link, _paced(file, bytes_per_s))
        written = file.finish()
        manifest = Manifest(
            id=name,
            source=link.server.name,
            taken_at=taken_at,
            covers_until=taken_at,
            size_bytes=written.bytes,
            sha256=written.sha256,
            rdb_version=written.rdb_version,
            checksummed=written.checksummed,
            redis_version=known.info.get("redis_version", ""),
            modules=known.modules,
            module_files=known.module_files,
            replid=full.replid,
            offset=full.offset,
            source_keys=_keys(known.info),
            evicted_keys=int(known.info.get("evicted_keys", -1)),
        )
        write_durably(incoming / "manifest.json", manifests.to_json(manifest))
        incoming.rename(into / name)
    finally:
        # Renamed, it is not there any more.
        shutil.rmtree(incoming, ignore_errors=True)
    sync_folder(into)
    return into / name, manifest


def _paced(file: DumpFile, bytes_per_s: float) -> Callable[[bytes], None]:
    """Into the file, at the pace that is wanted: the source sends no faster than is taken."""
    brake, sayer = Brake(bytes_per_s), Sayer()

    def write(data: bytes) -> None:
        file.write(data)
        sayer.moved(file.bytes)
        brake.passed(len(data))

    return write


def sweep(into: Path) -> None:
    """Take away what a killed process left behind; only one may take dumps into a folder."""
    for leftover in into.glob(f"{INCOMING}*"):
        shutil.rmtree(leftover)


def _about(link: Link) -> _About:
    """What the source says of itself, as far as it may be asked."""
    said, listed = link.ask_all([("INFO",), ("MODULE", "LIST")])
    if isinstance(said, ErrorReply) and said.kind in ("NOAUTH", "LOADING"):
        raise NotTaken(f"{link.server.name}: {said.text}")
    text = said.decode(errors="replace") if isinstance(said, bytes) else ""
    info = dict(line.partition(":")[::2] for line in text.splitlines())
    modules = []
    for module in listed if isinstance(listed, list) else ():
        pairs = dict(zip(module[::2], module[1::2], strict=False))
        modules.append(f"{pairs.get(b'name', b'?').decode()} {pairs.get(b'ver', '?')}")
    return _About(info, tuple(modules), module_lines(listed))


def _keys(info: Mapping[str, str]) -> int:
    if "redis_version" not in info:
        return -1
    return sum(
        int(value.partition("keys=")[2].partition(",")[0])
        for name, value in info.items()
        if name[:2] == "db" and name[2:].isdigit()
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tasks.backup.dump", description=__doc__)
    parser.add_argument("--settings", required=True, type=Path)
    path = parser.parse_args().settings
    os.umask(0o077)
    end_when_asked()
    try:
        settings = read_arguments(Settings, json.loads(path.read_text()))
    except (OSError, ValueError, BadArguments) as error:
        print(f"{path}: {error}", file=sys.stderr)
        return 1
    into = Path(settings.into)
    into.mkdir(parents=True, exist_ok=True)
    with (into / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            sweep(into)
            folder, manifest = take(settings)
        except BlockingIOError:
            print(f"a dump into {into} is being taken already: wait for it", file=sys.stderr)
            return 1
        except NotTaken as fault:
            print(fault, file=sys.stderr)
            return 1
    print(json.dumps({"folder": str(folder), "size_bytes": manifest.size_bytes}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
