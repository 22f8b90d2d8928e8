"""Dumps of real servers: taken whole or not at all, and what is said when not."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tasks.backup import dump
from tests.backup.conftest import fill
from tests.backup.rig import Redis, info, redis, source_replid
from tests.integration.rig import ROOT, free_port


def settings(tmp_path: Path, port: int, **more: Any) -> dump.Settings:
    return dump.Settings(str(tmp_path / "backups"), "127.0.0.1", port, **more)


def left(tmp_path: Path) -> list[str]:
    return sorted(each.name for each in (tmp_path / "backups").glob("*"))


@pytest.mark.parametrize("checksum", ["yes", "no"])
def test_a_dump_is_whole_private_and_known(tmp_path: Path, checksum: str) -> None:
    with redis(tmp_path / "source", rdbchecksum=checksum) as source:
        fill(source)
        folder, manifest = dump.take(settings(tmp_path, source.port))
        saves = info(source, "persistence")
        assert saves["rdb_saves"] == "0", "nothing was saved on the source's disk"
        assert not list(source.folder.glob("*.rdb"))
        assert manifest.replid == source_replid(source)
    assert manifest.size_bytes == (folder / "dump.rdb").stat().st_size
    assert (manifest.checksummed, manifest.source_keys) == (checksum == "yes", 326)
    assert {each.stat().st_mode & 0o077 for each in (folder, *folder.iterdir())} == {0}
    done = subprocess.run(
        ["redis-check-rdb", folder / "dump.rdb"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_as_a_process_it_prints_the_folder(source: Redis, tmp_path: Path) -> None:
    file = tmp_path / "dump.json"
    file.write_text(
        json.dumps({"into": str(tmp_path / "b"), "address": "127.0.0.1", "port": source.port})
    )
    argv = [sys.executable, "-m", "tasks.backup.dump", "--settings", str(file)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert Path(json.loads(done.stdout)["folder"], "manifest.json").exists()
    source.kill()
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, "Connection refused" in done.stderr) == (1, True)


def test_a_process_killed_in_the_middle_leaves_nothing_under_a_name(
    source: Redis, tmp_path: Path
) -> None:
    source.ask("DEBUG", "POPULATE", "100000", "doc", "100")
    source.ask("CONFIG", "SET", "rdb-key-save-delay", "20")
    file = tmp_path / "dump.json"
    file.write_text(
        json.dumps({"into": str(tmp_path / "b"), "address": "127.0.0.1", "port": source.port})
    )
    argv = [sys.executable, "-m", "tasks.backup.dump", "--settings", str(file)]
    child = subprocess.Popen(argv, cwd=ROOT)
    while not list((tmp_path / "b").glob(".incoming-*/dump.rdb")):
        time.sleep(0.02)
    child.kill()
    child.wait(10)
    assert not list((tmp_path / "b").glob("redis-*"))
    source.ask("CONFIG", "SET", "rdb-key-save-delay", "0")
    assert subprocess.run(argv, cwd=ROOT, check=False).returncode == 0
    assert not list((tmp_path / "b").glob(".incoming-*")), "what was left is swept away"


def test_a_wrong_or_missing_password_is_said(source: Redis, tmp_path: Path) -> None:
    source.ask("SET", "a", "1")
    source.ask("CONFIG", "SET", "requirepass", "right")
    with pytest.raises(dump.NotTaken, match="NOAUTH"):
        dump.take(settings(tmp_path, source.port))
    password = tmp_path / "password"
    password.write_text("wrong")
    with pytest.raises(dump.NotTaken, match="does not accept the password in"):
        dump.take(settings(tmp_path, source.port, password_file=str(password)))
    with pytest.raises(dump.NotTaken, match="cannot be read"):
        dump.take(settings(tmp_path, source.port, password_file=str(tmp_path / "none")))
    assert left(tmp_path) == []
    password.write_text("right\n")
    folder, _ = dump.take(settings(tmp_path, source.port, password_file=str(password)))
    assert folder.exists()


def test_a_right_that_is_missing_is_said(source: Redis, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("x")
    source.ask("ACL", "SETUSER", "weak", "on", ">x", "+ping", "+info")
    with pytest.raises(dump.NotTaken, match=r"\+psync"):
        dump.take(
            settings(tmp_path, source.port, user="weak", password_file=str(tmp_path / "password"))
        )


def test_a_source_that_dies_in_the_middle_leaves_nothing(source: Redis, tmp_path: Path) -> None:
    source.ask("DEBUG", "POPULATE", "100000", "doc", "100")
    source.ask("CONFIG", "SET", "rdb-key-save-delay", "50")
    timer = threading.Timer(1.0, source.kill)
    timer.start()
    with pytest.raises(dump.NotTaken, match=r"before the dump was whole|Connection reset"):
        dump.take(settings(tmp_path, source.port))
    timer.join()
    assert left(tmp_path) == []


def test_a_full_disk_leaves_nothing(source: Redis, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("a small file system of its own needs root")
    source.ask("DEBUG", "POPULATE", "100000", "doc", "200")
    place = tmp_path / "backups"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)]
    if subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        with pytest.raises(dump.NotTaken, match="No space left"):
            dump.take(settings(tmp_path, source.port))
        assert left(tmp_path) == []
        assert source.ask("SET", "a", "1") == "OK"
    finally:
        subprocess.run(["umount", str(place)], check=True)


@contextmanager
def saying(*answers: bytes) -> Iterator[int]:
    """Something at a port that is no Redis, or one that lies."""
    port = free_port()
    with socket.create_server(("127.0.0.1", port)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                for answer in answers:
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield port
        thread.join(5)


INFO = b"$17\r\nredis_version:7\r\n\r\n*0\r\n"
SYNC = (b"*0\r\n", b"+OK\r\n", b"+FULLRESYNC " + b"a" * 40 + b" 0\r\n")


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ((b"HTTP/1.1 400\r\n",), "no Redis reply"),
        ((INFO, *SYNC[:2], b"-LOADING Redis is loading\r\n"), "LOADING"),
        ((INFO, *SYNC[:2], SYNC[2] + b"$4\r\nabcd"), "begins with REDIS"),
        ((INFO, *SYNC[:2], SYNC[2] + b"$0\r\n"), "empty"),
        ((INFO, *SYNC[:2], SYNC[2] + b"$30\r\nREDIS0010"), "before the dump was whole"),
        ((INFO, *SYNC[:2], SYNC[2] + b"$20\r\nREDIS0010abcdefghijk"), "cut off"),
        ((INFO, *SYNC[:2], b"+CONTINUE\r\n"), "never begun"),
    ],
)
def test_what_is_no_dump_is_never_kept(
    tmp_path: Path, answers: tuple[bytes, ...], said: str
) -> None:
    with saying(*answers) as port, pytest.raises(dump.NotTaken, match=said):
        dump.take(settings(tmp_path, port))
    assert left(tmp_path) == []


def test_a_rewrite_that_runs_is_waited_for(source: Redis, tmp_path: Path) -> None:
    """Where BGSAVE would be refused."""
    source.fill(1000)
    source.ask("CONFIG", "SET", "rdb-key-save-delay", "1500")
    source.ask("BGREWRITEAOF")
    source.ask("CONFIG", "SET", "rdb-key-save-delay", "0")
    assert info(source, "persistence")["aof_rewrite_in_progress"] == "1"
    assert b"child" in str(source.ask("BGSAVE")).encode()
    _, manifest = dump.take(settings(tmp_path, source.port))
    assert manifest.size_bytes > 1000
