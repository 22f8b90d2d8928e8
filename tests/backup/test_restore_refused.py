"""redis.restore with every bad backup, and on machines where it must not be done.

After each the production data is what it was, and the reason says what to do.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.backup import proving
from tasks.backup.manifest import State
from tasks.catalog import operations
from tasks.contract import Outcome
from tasks.operation import carry_out
from tests.backup.orders import HOST, do, holds_backup, production, untouched
from tests.backup.rig import Redis, redis
from tests.backup.systemd import UNIT, fake_systemd, shown
from tests.integration.rig import wait_for


def refuses(
    server: Redis,
    place: Path,
    *said: str,
    outcome: Outcome = Outcome.REFUSED,
    **arguments: Any,
) -> None:
    result = do(server, **arguments)
    assert result.outcome is outcome, result
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
        # What its size does not show is found when it is copied and loaded, beside the data.
        shown = Outcome.FAILED if damage in ("flipped", "newer") else Outcome.REFUSED
        refuses(server, tmp_path, "its manifest says", outcome=shown, backup=str(backup))


def test_a_backup_that_is_not_what_its_manifest_says_is_refused(
    backup: Path, tmp_path: Path
) -> None:
    known = proving.read_manifest(HOST, str(backup))
    assert known.contents is not None
    wrong = replace(known, contents=replace(known.contents, total=400, functions=0))
    proving.write_manifest(HOST, str(backup), wrong)
    with production(tmp_path) as server:
        said = ("326 keys", "not 400", "1 functions")
        refuses(server, tmp_path, *said, outcome=Outcome.FAILED, backup=str(backup))


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


def test_a_ladder_replaces_no_data_that_seems_to_be_whole(backup: Path, tmp_path: Path) -> None:
    with production(tmp_path) as server:
        server.fill(300)
        said = ("nothing shows that data was lost", "it has 301 keys, and the backup 326")
        refuses(server, tmp_path, *said, backup=str(backup), only_on_loss=True)
        server.ask("DEL", *(f"doc:{n}" for n in range(300)))
        assert do(server, backup=str(backup), only_on_loss=True).outcome is Outcome.DONE


def test_a_ladder_may_replace_what_cannot_be_loaded(backup: Path, tmp_path: Path) -> None:
    log = tmp_path / "redis.log"
    with production(tmp_path, logfile=str(log)) as server:
        server.ask("SAVE")
        server.kill()
        result = do(server, backup=str(backup), only_on_loss=True)
        assert (result.outcome, "it does not run" in result.reason) == (Outcome.REFUSED, True)
        with log.open("a") as more:
            more.write("# Bad file format reading the append only file: make a backup\n")
        assert do(server, backup=str(backup), only_on_loss=True).outcome is Outcome.DONE


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


def test_replicas_are_refused_where_that_is_ordered_or_they_cannot_be_kept_away(
    backup: Path, tmp_path: Path
) -> None:
    with (
        production(tmp_path) as server,
        redis(tmp_path / "replica", replicaof=f"127.0.0.1 {server.port}") as replica,
    ):
        wait_for("the replica", lambda: replica.ask("GET", "precious") == b"live")
        refuses(server, tmp_path, "1 replicas", backup=str(backup), replicas="refuse")
        (tmp_path / "unit" / "show").write_text(f"{shown('/opt/stack/start')}\n")
        refuses(server, tmp_path, "REPLICAOF NO ONE", "its unit starts start", backup=str(backup))


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
