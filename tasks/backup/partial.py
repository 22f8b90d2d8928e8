"""Some keys of a backup, into the live server: those that match a pattern, and no others.

    python -m tasks.backup.partial --settings FILE     prints what was done, as JSON

What lives here: copying values from a scratch server that has loaded the backup, keeping what
they replace in a file first, and putting that back. What must not: starting servers anew in the
live one's place (operations/redis_restore.py). Values travel as DUMP gives them, with their own
checksum; times to live are kept as points in time.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tasks.arguments import BadArguments, read_arguments
from tasks.backup import manifest as manifests
from tasks.backup.keyfiles import END
from tasks.backup.link import Link, LinkFault, LinkRefused, Server, server_of
from tasks.backup.manifest import NotAManifest
from tasks.backup.proving import DUMP, read_manifest
from tasks.backup.scratch import Dump, NotLoaded, Programs, loaded, size_and_sha256
from tasks.host import HostFault, LocalHost
from tasks.resp import ErrorReply

#: Keys in one exchange; their values are in memory together.
BATCH = 64


@dataclass(frozen=True, slots=True)
class Settings:
    """What a settings file holds, as JSON."""

    backup: str  #: a backup folder
    pattern: str  #: as KEYS has it, such as doc:*
    kept: str  #: a new file for what is replaced
    address: str
    port: int = 6379
    password_file: str = ""
    user: str = ""
    tls: bool = False
    ca_file: str = ""
    pin_sha256: str = ""
    database: int = -1  #: only this one; all of the backup's when negative
    dry_run: bool = False
    undo: bool = False  #: put back what is in `kept`
    server: str = "redis-server"  #: the program for the scratch server
    cli: str = "redis-cli"


@dataclass(frozen=True, slots=True)
class Copied:
    """How many keys were, or in a dry run would be, put into the live server."""

    added: int
    replaced: int
    kept: str  #: the file that undoes it; empty in a dry run


@dataclass(frozen=True, slots=True)
class Value:
    """A key's value as DUMP gives it; `payload` is None where the key is not there."""

    payload: bytes | None
    expires_at: int  #: Unix milliseconds; 0 for never


class NotCopied(Exception):
    """The live server refused a key. What was replaced before is in the kept file: undo with it."""


def copy_keys(
    source: Server,
    live: Server,
    pattern: str,
    *,
    kept: Path,
    database: int = -1,
    dry_run: bool = False,
) -> Copied:
    """From a server that has loaded a backup. Raises LinkFault, LinkRefused, NotCopied."""
    counts = {"added": 0, "replaced": 0}
    with Link(source) as link, Link(live) as target:
        wanted = [database] if database >= 0 else _databases(link)
        journal = None if dry_run else _new_file(kept)
        try:
            for number in wanted:
                for each in (link, target):
                    _must(each.ask("SELECT", str(number)), f"database {number}")
                for keys in _matching(link, pattern):
                    there = _values(target, keys)
                    counts["replaced"] += sum(value.payload is not None for value in there)
                    counts["added"] += sum(value.payload is None for value in there)
                    if journal:
                        _keep(journal, number, keys, there)
                        _put(target, keys, _values(link, keys))
            if not any(counts.values()):
                raise NotCopied(f"no key of the backup is like {pattern}")
            if journal:
                os.write(journal, (json.dumps({END: counts}) + "\n").encode())
                os.fsync(journal)
        finally:
            if journal:
                os.close(journal)
    return Copied(**counts, kept="" if dry_run else str(kept))


def put_back(live: Server, kept: Path) -> int:
    """Undo a copy: every key is what it was before, or is gone again. Answers with how many."""
    text = kept.read_text()
    # A last line without its end was written by somebody who was killed, and copied nothing.
    whole = text[: text.rfind("\n") + 1].splitlines()
    lines = [each for each in map(json.loads, whole) if END not in each]
    with Link(live) as link:
        # The first value kept of a key is the one it had.
        for each in reversed(lines):
            _must(link.ask("SELECT", str(each["database"])), "SELECT")
            key = bytes.fromhex(each["key"])
            payload = each["payload"] and base64.b64decode(each["payload"])
            _put(link, [key], [Value(payload, each["expires_at"])])
    return len(lines)


def _databases(link: Link) -> list[int]:
    said = link.ask("INFO", "keyspace")
    lines = said.decode().splitlines() if isinstance(said, bytes) else []
    return [int(line[2:].partition(":")[0]) for line in lines if line.startswith("db")]


def _matching(link: Link, pattern: str) -> Iterator[list[bytes]]:
    cursor = b"0"
    while True:
        page = link.ask("SCAN", cursor, "MATCH", pattern, "COUNT", "1000")
        if not isinstance(page, list):
            raise NotCopied(f"{link.server.name} cannot be read: {page}")
        cursor, keys = page
        # A page may name a key twice, and any number of them.
        unique = list(dict.fromkeys(keys))
        for at in range(0, len(unique), BATCH):
            yield unique[at : at + BATCH]
        if cursor == b"0":
            return


def _values(link: Link, keys: Sequence[bytes]) -> list[Value]:
    got = link.ask_all([words for key in keys for words in (("DUMP", key), ("PEXPIRETIME", key))])
    found = []
    for key, payload, expires in zip(keys, got[::2], got[1::2], strict=True):
        if isinstance(payload, ErrorReply) or not isinstance(expires, int):
            raise NotCopied(f"{link.server.name}: {key!r} cannot be read: {payload}, {expires}")
        found.append(Value(payload, max(0, expires)))  # type: ignore[arg-type]
    return found


def _put(link: Link, keys: Sequence[bytes], values: Sequence[Value]) -> None:
    commands: list[tuple[str | bytes, ...]] = []
    for key, value in zip(keys, values, strict=True):
        if value.payload is None:
            commands.append(("DEL", key))
        else:
            expires = str(value.expires_at)
            commands.append(("RESTORE", key, expires, value.payload, "REPLACE", "ABSTTL"))
    for key, said in zip(keys, link.ask_all(commands), strict=True):
        _must(said, repr(key))


def _must(said: object, what: str) -> None:
    if isinstance(said, ErrorReply):
        raise NotCopied(f"{what} is refused: {said.text}")


def _new_file(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def _keep(journal: int, database: int, keys: Sequence[bytes], values: Sequence[Value]) -> None:
    """On the disk before anything is replaced."""
    for key, value in zip(keys, values, strict=True):
        kept = {
            "database": database,
            "key": key.hex(),
            "payload": value.payload and base64.b64encode(value.payload).decode(),
            "expires_at": value.expires_at,
        }
        os.write(journal, (json.dumps(kept) + "\n").encode())
    os.fsync(journal)


def run(settings: Settings) -> Copied:
    """Load the backup in a scratch server and copy from there. The hash must fit its manifest."""
    host = LocalHost()
    known = read_manifest(host, settings.backup)
    path = f"{settings.backup}/{DUMP}"
    if complaints := manifests.compare_file(known, *size_and_sha256(host, path)):
        raise NotLoaded(manifests.told(complaints))
    programs = Programs(settings.server, settings.cli, modules=known.module_files)
    live = server_of(settings)
    with loaded(host, Dump(path), programs) as scratch:
        return copy_keys(
            Server(socket_path=scratch.socket),
            live,
            settings.pattern,
            kept=Path(settings.kept),
            database=settings.database,
            dry_run=settings.dry_run,
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tasks.backup.partial", description=__doc__)
    parser.add_argument("--settings", required=True, type=Path)
    path = parser.parse_args().settings
    try:
        settings = read_arguments(Settings, json.loads(path.read_text()))
        if settings.undo:
            put_back(server_of(settings), Path(settings.kept))
            print("{}")
            return 0
        copied = run(settings)
    except (OSError, ValueError, BadArguments, NotAManifest) as error:
        print(f"{path}: {error}", file=sys.stderr)
        return 1
    except (LinkFault, LinkRefused, NotCopied, NotLoaded, HostFault) as fault:
        print(fault, file=sys.stderr)
        return 1
    print(json.dumps(asdict(copied)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
