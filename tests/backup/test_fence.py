"""Nobody reaches a Redis while its data is exchanged, until it is verified: also after a kill -9
of whoever restores, at any moment, and after a power cut. Who comes next opens it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.backup import fencing, proving
from tasks.backup.link import Link, LinkFault
from tasks.catalog import operations
from tasks.contract import Outcome
from tasks.operation import reconsider
from tests.backup.orders import HOST, do, holds_backup, production
from tests.backup.rig import Redis, answers, redis
from tests.backup.systemd import UNIT
from tests.integration.rig import ROOT, wait_for

FILE = Path(fencing.folder_of(UNIT)) / fencing.FILE
SCRIPT = """
import json, os, re, signal, sys
from tasks.backup import exchanging, fencing
from tasks.catalog import operations
from tasks.host import LocalHost
from tasks.operation import carry_out

class Host(LocalHost):
    def run(self, argv, **more):
        if re.match(sys.argv[3], " ".join(argv)):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().run(argv, **more)

host = Host()
with open(sys.argv[2], "w") as journal:
    def begun(seen):
        journal.write(json.dumps(seen))
        journal.flush()
    carry_out(host, operations()["redis.restore"], json.loads(sys.argv[1]),
        ends=host.now() + 30, begun=begun)
"""
#: Killed when it is about to run the first command that matches.
MOMENTS = {
    "fence built": "systemctl stop",
    "stopped": r"mv .* /\S+/pre-restore-",
    "old data out": r"mv -n -T -- /\S+/\.restore-",
    "half of the new in": r"mv -n -T -- /\S+/\.restore-\S+/appendonlydir ",
    "data exchanged": "systemctl start",
    "opened": "rm -f -- /etc/systemd",
}


class Clients:
    """Somebody who writes to the public address again and again, and notes what was taken."""

    def __init__(self, server: Redis) -> None:
        self.server, self.taken = server, 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def _write(self) -> None:
        while not self._over.wait(0.002):
            try:
                with Link(self.server.server) as link:
                    self.taken += link.ask("SET", "written", str(self.taken)) == "OK"
            except LinkFault:
                continue

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


def open_data(server: Redis) -> str:
    """What somebody finds at the public address: `old`, `new`, or nobody."""
    if not answers(server):
        return "nobody"
    if holds_backup(server):
        return "new"
    assert server.ask("GET", "precious") == b"live", "never something else, such as nothing"
    return "old"


def killed(server: Redis, backup: Path, place: Path, at: str) -> tuple[dict[str, Any], Path]:
    given = {
        "unit": UNIT,
        "address": "127.0.0.1",
        "port": server.port,
        "backup": str(backup),
        "prove_here": False,
    }
    journal = place / "journal"
    argv = [sys.executable, "-c", SCRIPT, json.dumps(given), str(journal), MOMENTS[at]]
    done = subprocess.run(argv, cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    return given, journal


def test_nothing_that_clients_write_meanwhile_is_in_unverified_data(
    backup: Path, tmp_path: Path
) -> None:
    """The old server keeps what it had answered; the new one gets what came after its proof."""
    with production(tmp_path, appendonly="yes") as server:
        clients = Clients(server)
        try:
            result = do(server, backup=str(backup))
            assert result.outcome is Outcome.DONE, result.reason
            answered = clients.taken
            wait_for("clients let in again", lambda: clients.taken > answered)
        finally:
            clients.stop()
        assert not FILE.exists()
        assert int(server.ask("GET", "written")) == clients.taken - 1
        assert do(server, "redis.restore_undo").outcome is Outcome.DONE
        assert int(server.ask("GET", "written")) < clients.taken - 1


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_a_moment_nobody_finds_half_of_it_and_the_next_one_opens(
    backup: Path, tmp_path: Path, moment: str
) -> None:
    with production(tmp_path, appendonly="yes") as server:
        given, journal = killed(server, backup, tmp_path, moment)
        assert FILE.exists()
        opened = {"fence built": "old", "opened": "new"}
        assert open_data(server) == opened.get(moment, "nobody")
        power_cut(tmp_path)
        assert open_data(server) == "nobody"
        before = json.loads(journal.read_text())
        opens = moment in ("data exchanged", "opened")
        # It was started a moment ago, and may have data to load before it can be opened.
        ends = HOST.now() + (20 if opens else 0)
        judged = reconsider(HOST, operations()["redis.restore"], given, before, ends=ends)
        if opens:
            assert judged.outcome is Outcome.DONE, "its agent, once it is back, opens it"
        else:
            assert judged.outcome is Outcome.UNKNOWN
            result = do(server, backup=str(backup), prove_here=False)
            assert result.outcome is Outcome.DONE, result.reason
        assert (open_data(server), FILE.exists()) == ("new", False)
        assert do(server, "redis.restore_undo").outcome is Outcome.DONE
        assert open_data(server) == "old"


def power_cut(place: Path) -> None:
    """Its server is gone with everything else, and systemd starts it at the next boot."""
    pid = int((place / "unit" / "pid").read_text())
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    wait_for("its end", lambda: ended(pid))
    subprocess.run(["systemctl", "start", UNIT], check=True)
    time.sleep(0.3)


def ended(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize("moment", ["old data out", "half of the new in", "data exchanged"])
def test_what_was_left_half_way_is_undone_by_one_order(
    backup: Path, tmp_path: Path, moment: str
) -> None:
    with production(tmp_path, appendonly="yes") as server:
        killed(server, backup, tmp_path, moment)
        result = do(server, "redis.restore_undo")
        assert result.outcome is Outcome.DONE, result.reason
        assert (open_data(server), FILE.exists()) == ("old", False)
        assert [each.name for each in server.folder.glob("*restore*")] == []


def test_what_was_left_before_anything_was_moved_looks_like_nothing_kept(
    backup: Path, tmp_path: Path
) -> None:
    """Its dump as it was before the last save comes back beside it, and no folder stays."""
    with production(tmp_path) as server:
        server.ask("SAVE")
        server.ask("SET", "late", "1")
        killed(server, backup, tmp_path, "fence built")
        assert list(server.folder.glob("pre-restore-*/dump.rdb.saved-before"))
        assert do(server, backup=str(backup), prove_here=False).outcome is Outcome.DONE
        (kept,) = server.folder.glob("pre-restore-*")
        assert (kept / "dump.rdb").exists()
        assert do(server, "redis.restore_undo").outcome is Outcome.DONE
        assert (server.ask("GET", "late"), open_data(server)) == (b"1", "old")


def test_other_data_than_expected_stays_closed_until_it_is_undone(
    backup: Path, tmp_path: Path
) -> None:
    known = proving.read_manifest(HOST, str(backup))
    assert known.contents is not None
    more = replace(known, contents=replace(known.contents, total=400))
    proving.write_manifest(HOST, str(backup), more)
    with production(tmp_path) as server:
        result = do(server, backup=str(backup), prove_here=False)
        assert result.outcome is Outcome.FAILED
        assert "nobody but us reaches it" in result.reason
        assert open_data(server) == "nobody"
        assert do(server, "redis.restore_undo").outcome is Outcome.DONE
        assert open_data(server) == "old"


def test_replicas_are_held_until_it_is_verified_and_then_follow(
    backup: Path, tmp_path: Path
) -> None:
    with (
        production(tmp_path, appendonly="yes") as server,
        redis(tmp_path / "replica", replicaof=f"127.0.0.1 {server.port}") as replica,
    ):
        wait_for("the replica", lambda: replica.ask("GET", "precious") == b"live")
        given, journal = killed(server, backup, tmp_path, "data exchanged")
        power_cut(tmp_path)
        time.sleep(1.5)
        assert replica.ask("GET", "precious") == b"live", "it asks again and again, in vain"
        before = json.loads(journal.read_text())
        assert reconsider(HOST, operations()["redis.restore"], given, before, ends=0).outcome
        wait_for("the replica", lambda: holds_backup(replica), seconds=20)
