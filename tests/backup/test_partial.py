"""Some keys of a backup into a live server: those, all of those, and back again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.backup import partial
from tasks.backup.link import Link
from tasks.backup.partial import NotCopied, Settings, Value
from tasks.backup.scratch import NotLoaded
from tests.backup.rig import Redis, redis
from tests.integration.rig import ROOT


def settings(backup: Path, live: Redis, tmp_path: Path, **more: object) -> Settings:
    given = {"pattern": "doc:*", "kept": str(tmp_path / "kept"), **more}
    return Settings(backup=str(backup), address="127.0.0.1", port=live.port, **given)  # type: ignore[arg-type]


def test_only_what_matches_is_copied_and_it_can_be_taken_back(backup: Path, tmp_path: Path) -> None:
    with redis(tmp_path / "live") as live:
        live.ask("SET", "doc:7", "changed", "EX", "500")
        live.ask("SET", "doc:new", "stays")
        live.ask("SET", "fact:7", "stays")
        before = live.digest()
        dry = partial.run(settings(backup, live, tmp_path, dry_run=True))
        assert (dry.added, dry.replaced, live.digest()) == (299, 1, before)
        copied = partial.run(settings(backup, live, tmp_path))
        assert (copied.added, copied.replaced) == (299, 1)
        assert live.ask("GET", "doc:7") == b"value 7"
        assert live.ask("PTTL", "doc:7") == -1
        assert live.ask("GET", "fact:7") == b"stays"
        assert live.ask("DBSIZE") == 302
        partial.put_back(live.server, tmp_path / "kept")
        assert live.digest() == before
        assert live.ask("TTL", "doc:7") > 400


def test_times_to_live_and_other_databases_and_any_bytes_come_along(
    backup: Path, tmp_path: Path
) -> None:
    with redis(tmp_path / "live") as live:
        partial.run(settings(backup, live, tmp_path, pattern="*"))
        assert 9000 < live.ask("TTL", "fact:long") <= 10000
        assert live.ask("SCARD", "set", database=1) == 500
        assert live.ask("LRANGE", b"bin\x00\xffkey", "0", "-1") == [b"x"]
        live.ask("FLUSHALL")
        one = settings(backup, live, tmp_path, pattern="*", database=1, kept=f"{tmp_path}/k2")
        assert partial.run(one).added == 2


def test_a_value_that_was_changed_on_its_way_is_refused_by_the_server(tmp_path: Path) -> None:
    with redis(tmp_path / "live") as live:
        live.ask("SET", "a", "value")
        payload = bytearray(live.ask("DUMP", "a"))
        payload[3] ^= 1
        with pytest.raises(NotCopied, match="checksum"):
            partial._put(Link(live.server), [b"a"], [Value(bytes(payload), 0)])
        assert live.ask("GET", "a") == b"value"


def test_a_damaged_backup_copies_nothing(backup: Path, tmp_path: Path) -> None:
    (backup / "dump.rdb").write_bytes((backup / "dump.rdb").read_bytes() + b"x")
    with redis(tmp_path / "live") as live:
        with pytest.raises(NotLoaded, match="its manifest says"):
            partial.run(settings(backup, live, tmp_path))
        assert live.ask("DBSIZE") == 0


def test_what_was_kept_is_never_overwritten(backup: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("precious")
    with redis(tmp_path / "live") as live:
        with pytest.raises(FileExistsError):
            partial.run(settings(backup, live, tmp_path))
        assert (tmp_path / "kept").read_text() == "precious"
        assert live.ask("DBSIZE") == 0


def test_as_a_process_it_prints_what_it_did(backup: Path, tmp_path: Path) -> None:
    file = tmp_path / "partial.json"
    argv = [sys.executable, "-m", "tasks.backup.partial", "--settings", str(file)]
    with redis(tmp_path / "live") as live:
        given = {"backup": str(backup), "pattern": "doc:*", "kept": str(tmp_path / "kept")}
        file.write_text(json.dumps({**given, "address": "127.0.0.1", "port": live.port}))
        done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=ROOT)
        assert json.loads(done.stdout)["added"] == 300, done.stderr
        live.ask("CONFIG", "SET", "requirepass", "x")
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, bool(done.stderr)) == (1, True)
