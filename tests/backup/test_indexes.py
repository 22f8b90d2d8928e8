"""Search indexes: waited for where the server fills them anew, and there after a restore."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.backup import dump, proving
from tasks.backup.asking import Where
from tasks.backup.indexes import Indexing
from tasks.backup.scratch import Programs
from tasks.contract import Outcome
from tasks.fake import Exchange, FakeHost
from tasks.host import LocalHost
from tests.backup.orders import do
from tests.backup.rig import redis
from tests.backup.systemd import fake_systemd

MODULE = Path("/usr/lib/redis/modules/redisearch.so")
WHERE = Where("redis", "10.0.0.5")
LIST, INFO = "tcp 10.0.0.5:6379 FT._LIST", "tcp 10.0.0.5:6379 FT.INFO docs FT.INFO facts"


def bulk(word: str) -> str:
    return f"${len(word)}\r\n{word}\r\n"


def index(indexing: str, percent: str) -> str:
    words = ("index_name", "x", "indexing", indexing, "percent_indexed", percent)
    return f"*{len(words)}\r\n" + "".join(map(bulk, words))


def told(*exchanges: tuple[str, str]) -> str:
    host = FakeHost(Exchange(asked, answer.encode()) for asked, answer in exchanges)
    said = Indexing(host, WHERE).told()
    host.finish()
    return said


def test_an_index_that_is_being_filled_is_named_with_how_far_it_is() -> None:
    names = f"*2\r\n{bulk('docs')}{bulk('facts')}"
    half = index("1", "0.42") + index("0", "1")
    assert told((LIST, names), (INFO, half)) == "docs (42 %)"
    assert told((LIST, names), (INFO, index("0", "1") * 2)) == ""
    assert told((LIST, "*0\r\n")) == ""
    assert told((LIST, "-ERR unknown command 'FT._LIST'\r\n")) == "", "RediSearch before 2"


def test_a_server_with_searches_finds_everything_after_a_restore(tmp_path: Path) -> None:
    if not MODULE.exists():
        pytest.skip("RediSearch is missing: apt-get install redis-redisearch")
    host = LocalHost()
    with redis(tmp_path / "production", appendonly="yes", loadmodule=str(MODULE)) as server:
        server.ask("FT.CREATE", "docs", "SCHEMA", "title", "TEXT")
        for number in range(50):
            server.ask("FT.ADD", "docs", f"doc:{number}", "1", "FIELDS", "title", f"page {number}")
        settings = dump.Settings(f"{tmp_path}/backups", "127.0.0.1", server.port)
        folder, _ = dump.take(settings)
        proved, _ = proving.prove(host, str(folder), Programs(modules=(str(MODULE),)), ("doc:*",))
        assert proved.state == "verified", proved.reason
        server.ask("FLUSHALL")
        with fake_systemd(tmp_path, server):
            result = do(server, backup=str(folder))
            assert result.outcome is Outcome.DONE, result.reason
            assert server.ask("FT.SEARCH", "docs", "page")[0] == 50
