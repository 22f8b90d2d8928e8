"""redis.restore on real servers: every way in which data may lie there, and every bad backup.

After each refusal or failure the production data is what it was, and the reason says what to do.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.backup import proving
from tasks.backup.manifest import State
from tasks.catalog import operations
from tasks.contract import Outcome
from tasks.host import LocalHost
from tasks.operation import Result, carry_out, reconsider
from tests.backup.rig import Redis, answers, info, redis
from tests.backup.systemd import UNIT, fake_systemd, orders
from tests.integration.rig import ROOT, wait_for

HOST = LocalHost()


def do(server: Redis, name: str = "redis.restore", **arguments: Any) -> Result:
    given = {"unit": UNIT, "address": "127.0.0.1", "port": server.port, **arguments}
    if server.server.password_file:
        given["password_file"] = server.server.password_file
    host = LocalHost()
    return carry_out(host, operations()[name], given, ends=host.now() + 30, tell=print)


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


@pytest.mark.parametrize(
    ("append_only", "log_there", "dump_there", "runs"),
    list(itertools.product([True, False], [True, False], [True, False], [True, False])),
)
def test_whatever_lies_there_the_backup_is_loaded_and_the_old_is_kept(
    backup: Path,
    tmp_path: Path,
    append_only: bool,
    log_there: bool,
    dump_there: bool,
    runs: bool,
) -> None:
    with production(tmp_path, appendonly="yes" if append_only else "no") as server:
        if dump_there:
            server.ask("SAVE")
        if log_there and not append_only:
            server.ask("CONFIG", "SET", "appendonly", "yes")
            wait_for(
                "the log", lambda: info(server, "persistence")["aof_rewrite_in_progress"] == "0"
            )
            server.ask("CONFIG", "SET", "appendonly", "no")
        if not runs:
            server.kill()
        if append_only and not log_there:
            shutil.rmtree(server.folder / "appendonlydir")
        result = do(server, backup=str(backup))
        assert (result.outcome, result.reason.partition(";")[0]) == (
            Outcome.DONE,
            f"all 326 keys of the backup were loaded, {server.ask('DBSIZE') + 3} are there now",
        )
        assert holds_backup(server)
        assert info(server, "memory")["number_of_functions"] == "1"
        # It must hold after the next restart as well: that is where a dump alone is lost.
        subprocess.run(["systemctl", "restart", UNIT], check=True)
        wait_for("the restarted server", lambda: answers(server))
        assert holds_backup(server)


def test_the_old_data_comes_back_with_one_order(backup: Path, tmp_path: Path) -> None:
    for append_only in ("yes", "no"):
        place = tmp_path / append_only
        place.mkdir()
        with production(place, appendonly=append_only) as server:
            before = server.digest()
            assert do(server, backup=str(backup)).outcome is Outcome.DONE
            server.ask("SET", "since", "1")
            result = do(server, "redis.restore_undo")
            assert result.outcome is Outcome.DONE, result.reason
            assert server.digest() == before
            (aside,) = server.folder.glob("restored-*")
            assert list(aside.iterdir()), "what the restored server had is kept too"
            again = do(server, "redis.restore_undo")
            assert (again.outcome, "no restore kept" in again.reason) == (Outcome.REFUSED, True)


def test_an_emptied_memory_does_not_take_the_older_dump_with_it(
    backup: Path, tmp_path: Path
) -> None:
    with production(tmp_path) as server:
        server.ask("SAVE")
        saved = (server.folder / "dump.rdb").read_bytes()
        server.ask("FLUSHDB")
        (server.folder / "dump.rdb").write_bytes(saved)
        server.ask("SET", "late", "1")
        assert do(server, backup=str(backup)).outcome is Outcome.DONE
        (kept,) = server.folder.glob("pre-restore-*")
        assert (kept / "dump.rdb.saved-before").read_bytes() == saved
        assert do(server, "redis.restore_undo").outcome is Outcome.DONE
        assert server.ask("GET", "late") == b"1"


def test_owner_and_mode_are_as_they_were(backup: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("giving files to another user needs root")
    with production(tmp_path, appendonly="yes") as server:
        server.ask("SAVE")
        log, dump = server.folder / "appendonlydir", server.folder / "dump.rdb"
        for path in (log, dump):
            shutil.chown(path, 65534, 65534)
        log.chmod(0o750)
        dump.chmod(0o640)
        assert do(server, backup=str(backup)).outcome is Outcome.DONE
        base = log / "appendonly.aof.1.base.rdb"
        for path, mode in ((log, 0o750), (dump, 0o640), (base, 0o640)):
            stat = path.stat()
            assert (stat.st_uid, stat.st_gid, stat.st_mode & 0o777) == (65534, 65534, mode)


def refuses(server: Redis, place: Path, *said: str, **arguments: Any) -> None:
    result = do(server, **arguments)
    assert result.outcome is Outcome.REFUSED, result
    assert result.reason.startswith("nothing was changed: ")
    for each in said:
        assert each in result.reason
    untouched(server, place)


@pytest.mark.parametrize("damage", ["empty", "truncated", "flipped", "trailing", "newer", "none"])
def test_a_damaged_backup_is_found_before_anything_is_touched(
    backup: Path, tmp_path: Path, damage: str
) -> None:
    file = backup / "dump.rdb"
    content = file.read_bytes()
    middle = len(content) // 2
    if damage == "none":
        file.unlink()
    else:
        file.write_bytes(
            {
                "empty": b"",
                "truncated": content[:middle],
                "flipped": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
                "trailing": content + b"\n",
                "newer": content[:5] + b"0099" + content[9:],
            }[damage]
        )
    with production(tmp_path) as server:
        if damage == "none":
            result = do(server, backup=str(backup))
            assert result.outcome is Outcome.FAILED
            assert "did nothing" in result.reason
            untouched(server, tmp_path)
        else:
            refuses(server, tmp_path, "its manifest says", backup=str(backup))


def test_a_backup_that_is_not_what_its_manifest_says_is_refused(
    backup: Path, tmp_path: Path
) -> None:
    known = proving.read_manifest(HOST, str(backup))
    assert known.contents is not None
    wrong = replace(known, contents=replace(known.contents, total=400, functions=0))
    proving.write_manifest(HOST, str(backup), wrong)
    with production(tmp_path) as server:
        refuses(server, tmp_path, "326 keys", "not 400", "1 functions", backup=str(backup))


def test_what_was_never_proved_or_failed_or_is_another_is_refused(
    backup: Path, tmp_path: Path
) -> None:
    known = proving.read_manifest(HOST, str(backup))
    with production(tmp_path) as server:
        refuses(server, tmp_path, "no backup was named")
        refuses(server, tmp_path, "manifest.json is missing", backup=str(tmp_path))
        proving.write_manifest(HOST, str(backup), replace(known, state=State.TAKEN))
        refuses(server, tmp_path, "prove it first", backup=str(backup))
        proving.write_manifest(HOST, str(backup), replace(known, state=State.FAILED, reason="x"))
        refuses(server, tmp_path, "use an older one", backup=str(backup))
        proving.write_manifest(HOST, str(backup), known)
        refuses(server, tmp_path, "newest was ordered", backup=str(backup), id="newest")


def test_a_target_that_would_lose_it_at_once_is_refused(backup: Path, tmp_path: Path) -> None:
    with production(tmp_path) as server:
        server.ask("CONFIG", "SET", "maxmemory", "700kb")
        refuses(server, tmp_path, "raise maxmemory first", backup=str(backup))
    with redis(tmp_path / "replica", replicaof=f"127.0.0.1 {server.port}") as replica:
        place = tmp_path / "of-replica"
        place.mkdir()
        with fake_systemd(place, replica):
            result = do(replica, backup=str(backup))
            assert (result.outcome, "is a replica" in result.reason) == (Outcome.REFUSED, True)


def test_replicas_are_not_wiped_by_surprise(backup: Path, tmp_path: Path) -> None:
    with (
        production(tmp_path) as server,
        redis(tmp_path / "replica", replicaof=f"127.0.0.1 {server.port}") as replica,
    ):
        wait_for("the replica", lambda: replica.ask("GET", "precious") == b"live")
        refuses(server, tmp_path, "REPLICAOF NO ONE", backup=str(backup))
        result = do(server, backup=str(backup), replicas="follow")
        assert result.outcome is Outcome.DONE, result.reason


def test_a_wrong_password_harms_nothing(backup: Path, tmp_path: Path) -> None:
    """Without an answer, nothing says that it loaded the backup."""
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong")
    with production(tmp_path, requirepass="right") as server:
        result = carry_out(
            HOST,
            operations()["redis.restore"],
            {
                "unit": UNIT,
                "address": "127.0.0.1",
                "port": server.port,
                "password_file": str(wrong),
                "backup": str(backup),
            },
            ends=HOST.now() + 5,
        )
        assert (result.outcome, "is not accepted" in result.reason) == (Outcome.REFUSED, True)
        untouched(server, tmp_path)


def test_a_unit_that_does_not_stop_keeps_its_data(backup: Path, tmp_path: Path) -> None:
    with production(tmp_path, appendonly="yes") as server:
        (tmp_path / "unit" / "refuses-stop").touch()
        result = do(server, backup=str(backup))
        assert result.outcome is Outcome.FAILED
        assert "Failed to stop" in result.reason
        assert server.ask("GET", "precious") == b"live"
        assert server.ask("CONFIG", "GET", "save")[1] == b"3600 1"
        assert not list(server.folder.glob("*restore*"))


def test_no_room_is_said_before_anything_is_touched(backup: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("a small file system of its own needs root")
    place = tmp_path / "production"
    place.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=20m", "none", place], check=False
    ).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        with production(tmp_path) as server:
            refuses(server, tmp_path, "make room", backup=str(backup))
            server.kill()
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def test_a_data_folder_of_another_file_system_or_name_is_used(backup: Path, tmp_path: Path) -> None:
    with production(tmp_path, appendonly="yes", appenddirname="logs", appendfilename="a.aof") as it:
        assert do(it, backup=str(backup)).outcome is Outcome.DONE
        assert (it.folder / "logs" / "a.aof.manifest").exists()
        assert holds_backup(it)


SCRIPT = """
import json, sys
from tasks.catalog import operations
from tasks.host import LocalHost
from tasks.operation import carry_out
host = LocalHost()
with open(sys.argv[2], "w") as journal:
    def begun(seen):
        journal.write(json.dumps(seen))
        journal.flush()
    print(carry_out(host, operations()["redis.restore"], json.loads(sys.argv[1]),
        ends=host.now() + 30, begun=begun))
"""


@pytest.mark.parametrize("append_only", ["yes", "no"])
def test_killed_at_any_moment_both_the_old_and_the_new_data_are_there(
    backup: Path, tmp_path: Path, append_only: str
) -> None:
    for number, after in enumerate([0.02, 0.08, 0.14, 0.2, 0.3]):
        place = tmp_path / str(number)
        place.mkdir()
        with production(place, appendonly=append_only) as server:
            given = {
                "unit": UNIT,
                "address": "127.0.0.1",
                "port": server.port,
                "backup": str(backup),
                "prove_here": False,
            }
            journal = place / "journal"
            argv = [sys.executable, "-c", SCRIPT, json.dumps(given), str(journal)]
            child = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL)
            wait_for("its begin", lambda file=journal: file.exists() and file.read_text() != "")  # type: ignore[misc]
            time.sleep(after)
            child.kill()
            child.wait(10)
            time.sleep(0.3)
            judged = reconsider(
                HOST, operations()["redis.restore"], given, json.loads(journal.read_text())
            )
            assert judged.outcome in (Outcome.DONE, Outcome.UNKNOWN)
            result = do(server, backup=str(backup), prove_here=False)
            assert result.outcome is Outcome.DONE, (after, result.reason)
            assert holds_backup(server)
            everything = b"".join(
                path.read_bytes()
                for path in server.folder.glob("pre-restore-*/**/*")
                if path.is_file()
            )
            assert b"precious" in everything, "the old data is in one of the kept folders"
            assert not list(server.folder.glob(".restore-*"))
