"""restore-history.sh under dash: any second of a captured history becomes a backup."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from tasks.contract import Outcome
from tests.backup.orders import do, production
from tests.backup.rig import Redis, capture
from tests.backup.systemd import UNIT
from tests.kit.conftest import Sh, facts, lay_kit


def test_a_mass_delete_is_undone_to_the_second_before(
    source: Redis, tmp_path: Path, sh: Sh
) -> None:
    source.fill(500)
    with capture(tmp_path / "vault", source, segment_seconds=1) as capturing:
        capturing.wait_covered()
        source.ask("SET", "fact:last", "1")
        before, digest = time.time(), source.digest()
        time.sleep(2.1)
        source.ask("FLUSHALL")
        source.ask("SET", "fact:after", "1")
        capturing.wait_covered()
    (history,) = capturing.histories()
    kit = lay_kit(tmp_path, facts(source))
    at = datetime.fromtimestamp(before + 1, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    done = sh(kit / "restore-history.sh", "-t", at, str(history), str(tmp_path / "then"))
    assert done.returncode == 0, done.stderr
    assert digest in done.stdout
    assert "holds 501 keys" in done.stdout
    whole = sh(kit / "restore-history.sh", str(history), str(tmp_path / "all"))
    assert source.digest() in whole.stdout
    early = sh(kit / "restore-history.sh", "-t", "2020-01-01", str(history), str(tmp_path / "x"))
    assert "begins after the time wanted" in early.stderr
    restored(tmp_path, tmp_path / "then", sh)
    later = max(history.glob("appendonlydir/*.incr.aof"), key=lambda each: each.stat().st_mtime)
    sound = later.read_bytes()
    later.write_bytes(sound.replace(b"fact:after", b"fact:afteR"))
    again = sh(kit / "restore-history.sh", "-t", at, str(history), str(tmp_path / "again"))
    assert digest in again.stdout, "what was damaged later is not needed"
    later.write_bytes(sound)
    assert_damage_is_found(kit, history, tmp_path, sh)


def restored(tmp_path: Path, made: Path, sh: Sh) -> None:
    """By the kit's script, and by this program as well: it is one and the same kind of folder."""
    with production(tmp_path, appendonly="yes") as server:
        own = lay_kit(tmp_path / "here", facts(server, append_only="yes", unit=UNIT))
        done = sh(own / "restore-redis.sh", str(made))
        assert done.returncode == 0, done.stderr
        assert server.ask("DBSIZE") == 501
        assert server.ask("GET", "fact:last") == b"1"
        server.ask("FLUSHALL")
        result = do(server, backup=str(made))
        assert result.outcome is Outcome.DONE, result.reason
        assert server.ask("DBSIZE") == 501


def assert_damage_is_found(kit: Path, history: Path, tmp_path: Path, sh: Sh) -> None:
    sealed = history / "appendonlydir" / "appendonly.aof.1.incr.aof"
    content = sealed.read_bytes()
    sealed.write_bytes(content.replace(b"fact:last", b"fact:lasT"))
    done = sh(kit / "restore-history.sh", str(history), str(tmp_path / "bad"))
    assert done.returncode == 1
    assert "appendonly.aof.1.incr.aof is not what was sealed" in done.stderr
    assert not (tmp_path / "bad").exists()
