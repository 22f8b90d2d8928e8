"""A running source, and a backup of it, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.backup import dump, proving
from tasks.backup.scratch import Programs
from tasks.host import LocalHost
from tests.backup.rig import Redis, redis

PATTERNS = ("doc:*", "fact:*")


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Redis]:
    with redis(tmp_path / "source") as server:
        yield server


def fill(server: Redis) -> None:
    server.fill(300, "doc:")
    server.fill(20, "fact:")
    server.ask("HSET", "hash", *[str(n) for n in range(2000)], database=1)
    server.ask("SADD", "set", *[f"member {n}" for n in range(500)], database=1)
    server.ask("ZADD", "zset", "1.5", "a", "2", b"\x00\r\n\xff", database=3)
    server.ask("RPUSH", b"bin\x00\xffkey", "x")
    server.ask("SET", "fact:short", "gone soon", "PX", "1500")
    server.ask("SET", "fact:long", "stays", "EX", "10000")
    server.ask("FUNCTION", "LOAD", "#!lua name=l\nredis.register_function('f', function() end)")


@pytest.fixture
def backup(source: Redis, tmp_path: Path) -> Path:
    """A proved backup folder of a filled source."""
    fill(source)
    folder, _ = dump.take(dump.Settings(str(tmp_path / "backups"), "127.0.0.1", source.port))
    proved, _ = proving.prove(LocalHost(), str(folder), Programs(), PATTERNS)
    assert proved.state == "verified", proved.reason
    return folder
