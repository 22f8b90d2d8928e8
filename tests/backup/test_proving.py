"""Proving backups in real scratch servers, and everything that must not pass for one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.backup import dump, proving
from tasks.backup.manifest import Count, Manifest, NotAManifest, State
from tasks.backup.scratch import Dump, NotLoaded, Programs, loaded, size_and_sha256
from tasks.catalog import operations
from tasks.contract import Outcome
from tasks.host import LocalHost
from tasks.operation import Result, carry_out
from tests.backup.conftest import PATTERNS, fill
from tests.backup.rig import Redis, capture, redis, short_folder
from tests.integration.rig import ROOT, wait_for

HOST, PROGRAMS = LocalHost(), Programs()


def test_a_proved_backup_says_what_it_holds(backup: Path) -> None:
    manifest = proving.read_manifest(HOST, str(backup))
    contents = manifest.contents
    assert contents is not None
    assert (manifest.state, contents.total, contents.functions) == (State.VERIFIED, 326, 1)
    assert contents.databases["1"] == Count(2)
    assert contents.patterns["doc:*"] == Count(300)
    assert contents.patterns["fact:*"].keys - contents.patterns["fact:*"].volatile == 20
    assert len(contents.samples) > 20
    assert not list(Path("/var/tmp").glob("scratch.*")), "the scratch server's folder is gone"  # noqa: S108


def test_it_proves_again_when_keys_have_expired_since(backup: Path) -> None:
    time.sleep(1.6)
    again, evidence = proving.prove(HOST, str(backup), PROGRAMS)
    assert (again.state, again.reason) == (State.VERIFIED, "")
    assert evidence is not None
    assert evidence.contents.total == 326


def flipped(content: bytes) -> bytes:
    at = content.index(b"value 17")
    return content[:at] + b"w" + content[at + 1 :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "truncated": lambda content: content[: len(content) // 2],
    "without its end": lambda content: content[:-1],
    "flipped byte": flipped,
    "trailing bytes": lambda content: content + b"x",
    "newer version": lambda content: content[:5] + b"0099" + content[9:],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_any_change_of_the_file_is_found_by_its_hash(backup: Path, damage: str) -> None:
    file = backup / "dump.rdb"
    file.write_bytes(DAMAGE[damage](file.read_bytes()))
    judged, _ = proving.prove(HOST, str(backup), PROGRAMS)
    assert judged.state is State.FAILED
    assert "its manifest says" in judged.reason


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("truncated", "Unexpected EOF|short read"),
        ("flipped byte", "RDB CRC"),
        ("newer version", "Can't handle RDB format version 99"),
        ("empty", "missing or empty"),
    ],
)
def test_damage_before_the_hash_was_taken_is_found_by_loading(
    backup: Path, damage: str, said: str
) -> None:
    file = backup / "dump.rdb"
    file.write_bytes(DAMAGE[damage](file.read_bytes()))
    relabel(backup)
    judged, _ = proving.prove(HOST, str(backup), PROGRAMS)
    assert judged.state is State.FAILED
    assert any(each in judged.reason for each in said.split("|")), judged.reason


def relabel(backup: Path) -> Manifest:
    """As if the file had been so when it was taken."""
    manifest = proving.read_manifest(HOST, str(backup))
    size, digest = size_and_sha256(HOST, str(backup / "dump.rdb"))
    changed = replace(manifest, size_bytes=size, sha256=digest, state=State.STORED)
    proving.write_manifest(HOST, str(backup), changed)
    return changed


def test_without_a_checksum_a_flipped_value_is_found_by_its_sample(tmp_path: Path) -> None:
    with redis(tmp_path / "source", rdbchecksum="no") as source:
        source.ask("SET", "only", "value 17")
        folder, _ = dump.take(dump.Settings(str(tmp_path / "b"), "127.0.0.1", source.port))
        proving.prove(HOST, str(folder), PROGRAMS)
    file = folder / "dump.rdb"
    file.write_bytes(flipped(file.read_bytes()))
    relabel(folder)
    judged, _ = proving.prove(HOST, str(folder), PROGRAMS)
    assert (judged.state, judged.reason) == (
        State.FAILED,
        "key b'only' of database 0 has another value",
    )


def test_another_dump_under_the_same_name_is_found(backup: Path, source: Redis) -> None:
    source.ask("FLUSHALL")
    source.ask("SET", "doc:1", "other")
    other, _ = dump.take(dump.Settings(str(backup.parent), "127.0.0.1", source.port))
    (backup / "dump.rdb").write_bytes((other / "dump.rdb").read_bytes())
    relabel(backup)
    judged, _ = proving.prove(HOST, str(backup), PROGRAMS)
    assert judged.state is State.FAILED
    assert "1 keys were loaded (expired ones included), not 326" in judged.reason


def test_an_empty_dump_of_a_source_that_had_keys_is_no_backup(
    source: Redis, tmp_path: Path
) -> None:
    source.ask("SET", "a", "1")
    settings = dump.Settings(str(tmp_path / "b"), "127.0.0.1", source.port)
    manifest = replace(dump.take(settings)[1], source_keys=5000)
    source.ask("FLUSHALL")
    empty, of_empty = dump.take(settings)
    proving.write_manifest(HOST, str(empty), replace(of_empty, source_keys=manifest.source_keys))
    judged, _ = proving.prove(HOST, str(empty), PROGRAMS)
    assert judged.reason == "no key was loaded, and the source had 5000"


def test_a_module_that_is_not_there_is_said(backup: Path) -> None:
    programs = Programs(modules=("/no/such/module.so",))
    judged, _ = proving.prove(HOST, str(backup), programs)
    assert judged.state is State.FAILED
    assert "module.so" in judged.reason


@pytest.mark.parametrize("text", [None, "", "{}", "[1]", '{"version": 2}', '{"version": 1}'])
def test_a_manifest_that_is_none_is_said(backup: Path, text: str | None) -> None:
    file = backup / "manifest.json"
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    with pytest.raises(NotAManifest, match=str(file)):
        proving.read_manifest(HOST, str(backup))


def test_any_second_of_a_history_becomes_a_backup(source: Redis, tmp_path: Path) -> None:
    with capture(tmp_path / "c", source, segment_seconds=1.0) as made:
        made.wait_covered()
        fill(source)
        time.sleep(1.2)
        at = int(time.time())
        time.sleep(1.2)
        source.ask("FLUSHALL")
        time.sleep(2.2)
        source.fill(5, "after:")
        made.wait_covered()
        history = str(made.histories()[0])
        # While the capture goes on: the open segment is copied as it is.
        before = proving.cut(HOST, history, str(tmp_path / "b1"), PROGRAMS, at=at)
        now = proving.cut(HOST, history, str(tmp_path / "b2"), PROGRAMS, patterns=PATTERNS)
        with pytest.raises(NotLoaded, match="begins after the time wanted"):
            proving.cut(HOST, history, str(tmp_path / "b3"), PROGRAMS, at=at - 3600)
    assert before.contents is not None
    assert before.contents.total in (325, 326)
    assert now.contents is not None
    assert now.contents.databases == {"0": Count(5)}
    for folder in ("b1", "b2"):
        judged, _ = proving.prove(HOST, str(tmp_path / folder), PROGRAMS)
        assert (judged.state, judged.reason) == (State.VERIFIED, "")


def test_a_history_that_breaks_off_is_used_up_to_there_and_a_damaged_one_is_not(
    source: Redis, tmp_path: Path
) -> None:
    with capture(tmp_path / "c", source) as made:
        made.wait_covered()
        source.fill(100)
        made.wait_covered()
    (history,) = made.histories()
    log = history / "appendonlydir" / "appendonly.aof.1.incr.aof"
    whole = log.read_bytes()
    log.write_bytes(whole[:-5])
    manifest = proving.cut(HOST, str(history), str(tmp_path / "b1"), PROGRAMS, at=int(time.time()))
    assert manifest.contents is not None
    assert manifest.contents.total == 99
    log.write_bytes(whole.replace(b"$6\r\ndoc:50", b"$9\r\ndoc:50"))
    with pytest.raises(NotLoaded, match="Bad file format"):
        proving.cut(HOST, str(history), str(tmp_path / "b2"), PROGRAMS)


def do(name: str, **arguments: Any) -> Result:
    return carry_out(HOST, operations()[name], arguments, ends=HOST.now() + 30)


def test_one_order_takes_a_backup_and_proves_it(source: Redis, tmp_path: Path) -> None:
    fill(source)
    given = {"into": str(tmp_path / "b"), "address": "127.0.0.1", "port": source.port}
    first = do("redis.backup", **given, patterns=list(PATTERNS))
    assert first.outcome is Outcome.DONE, first.reason
    assert "326 keys" in first.reason
    (folder,) = (tmp_path / "b").glob("redis-*")
    assert do("redis.prove", backup=str(folder)).outcome is Outcome.DONE
    (folder / "dump.rdb").write_bytes((folder / "dump.rdb").read_bytes()[:-1])
    again = do("redis.prove", backup=str(folder))
    assert (again.outcome, "its manifest says" in again.reason) == (Outcome.FAILED, True)
    assert proving.read_manifest(HOST, str(folder)).state is State.FAILED
    source.kill()
    dead = do("redis.backup", **given)
    assert (dead.outcome, "Connection refused" in dead.reason) == (Outcome.FAILED, True)
    assert "no dump was taken" in dead.reason


def test_a_scratch_server_whose_owner_was_killed_is_ended_by_the_next(
    backup: Path,
) -> None:
    with short_folder() as place:
        script = (
            "import os, signal\n"
            "from tasks.backup.scratch import Dump, Programs, loaded\n"
            "from tasks.host import LocalHost\n"
            f"with loaded(LocalHost(), Dump({str(backup / 'dump.rdb')!r}), Programs(), "
            f"place={str(place)!r}):\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)
        (left,) = place.glob("scratch.*")
        pid = int((left / "pid").read_text())
        assert Path(f"/proc/{pid}").exists()
        long_ago = time.time() - 3600
        os.utime(left, (long_ago, long_ago))
        with loaded(HOST, Dump(str(backup / "dump.rdb")), PROGRAMS, place=str(place)) as scratch:
            assert not left.exists()
            wait_for("its end", lambda: not Path(f"/proc/{pid}").exists())
            os.utime(scratch.folder, (long_ago, long_ago))
            with loaded(HOST, Dump(str(backup / "dump.rdb")), PROGRAMS, place=str(place)):
                assert scratch.info()["loading"] == "0", "one whose owner lives is left alone"
        assert not list(place.iterdir())
