"""Ordering a restore of a real server that is a unit, for the tests of redis.restore."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.catalog import operations
from tasks.host import Host, LocalHost
from tasks.operation import Result, Tell, carry_out
from tests.backup.rig import Redis, info, redis
from tests.backup.systemd import UNIT, fake_systemd, orders

HOST = LocalHost()


def do(
    server: Redis,
    name: str = "redis.restore",
    *,
    host: Host = HOST,
    tell: Tell = Tell(print),  # noqa: B008 frozen
    **arguments: Any,
) -> Result:
    given = {"unit": UNIT, "address": "127.0.0.1", "port": server.port, **arguments}
    if server.server.password_file:
        given["password_file"] = server.server.password_file
    return carry_out(host, operations()[name], given, ends=host.now() + 30, tell=tell)


@contextmanager
def production(place: Path, **options: str) -> Iterator[Redis]:
    """The server that is to get the backup, with other data of its own, as a unit."""
    with redis(place / "production", **{"save": "3600 1", **options}) as server:
        server.ask("SET", "precious", "live")
        with fake_systemd(place, server):
            yield server


def holds_backup(server: Redis) -> bool:
    return bool(server.ask("GET", "doc:7") == b"value 7" and server.ask("GET", "precious") is None)


def untouched(server: Redis, place: Path) -> None:
    assert server.ask("GET", "precious") == b"live"
    assert "stop" not in orders(place)
    left = [each.name for each in server.folder.iterdir() if "restore" in each.name]
    assert left == [], "nothing is left behind"
    assert info(server, "persistence")["rdb_bgsave_in_progress"] == "0"
    assert server.ask("CONFIG", "GET", "save")[1] == b"3600 1"
