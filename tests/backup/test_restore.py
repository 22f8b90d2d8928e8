"""redis.restore on real servers: however the data lies there, and killed at any moment."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.catalog import operations
from tasks.contract import Outcome
from tasks.operation import reconsider
from tests.backup.orders import HOST, do, holds_backup, production
from tests.backup.rig import answers, info
from tests.backup.systemd import UNIT
from tests.integration.rig import ROOT, wait_for


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
        said, there = result.reason.partition(";")[0], server.ask("DBSIZE") + 3
        assert result.outcome is Outcome.DONE
        # One key expires soon: it may have been there at the look and be gone now.
        assert said in {
            f"all 326 keys of the backup were loaded, {keys} are there now"
            for keys in (there, there + 1)
        }
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


@pytest.mark.long
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
                HOST, operations()["redis.restore"], given, json.loads(journal.read_text()), ends=0
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
