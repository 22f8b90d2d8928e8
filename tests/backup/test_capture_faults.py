"""What happens to a capture's links, disks and sources: nothing acknowledged is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tasks.backup import history
from tests.backup.proxy import Proxy, proxy
from tests.backup.rig import Capture, Redis, capture, info, loaded, redis, source_offset
from tests.backup.test_capture import writing
from tests.integration.rig import wait_for


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Redis]:
    with redis(tmp_path / "source") as server:
        yield server


@contextmanager
def behind(source: Redis, home: Path, **given: Any) -> Iterator[tuple[Proxy, Capture]]:
    """A capture that reaches its source over a link that can be cut."""
    with proxy(source.port) as link, capture(home, source, port=link.port, **given) as made:
        yield link, made


def same(made: Capture, folder: Path, source: Redis) -> bool:
    with loaded(folder, made.histories()[-1]) as copy:
        return copy.digest() == source.digest()


def test_a_link_that_is_cut_in_the_stream_costs_only_the_gap(source: Redis, tmp_path: Path) -> None:
    with behind(source, tmp_path / "c", segment_seconds=1.0) as (link, made):
        made.wait_covered()
        with writing(source) as count:
            time.sleep(0.5)
            link.cut()
            time.sleep(1.5)
            wait_for("the lag", lambda: (made.status()["lag_seconds"] or 0) > 1)
            before = count[0]
            link.mend()
            wait_for("more writes", lambda: count[0] > before + 200)
        made.wait_covered()
        assert "closed the connection" in made.status()["last_fault"], "told also afterwards"
    assert info(source, "stats")["sync_full"] == "1", "no second dump was needed"
    assert len(made.histories()) == 1
    assert not list(history.faults(made.histories()[0]))
    assert same(made, tmp_path / "copy", source)


def test_a_link_that_is_cut_in_the_dump_leaves_no_half_history(
    source: Redis, tmp_path: Path
) -> None:
    source.ask("CONFIG", "SET", "rdbcompression", "no")
    source.ask("DEBUG", "POPULATE", "20000", "doc", "100")
    with proxy(source.port) as link:
        link.stop_after = 1_000_000
        with capture(tmp_path / "c", source, port=link.port) as made:
            wait_for("the cut", lambda: link.passed >= 1_000_000)
            wait_for("its word on it", lambda: made.status().get("state") == "syncing")
            assert not made.histories()
            link.mend()
            made.wait_covered(60)
            assert "before the dump was whole" in made.process.log.read_text()
    assert not list(made.root.glob("incoming-*"))
    assert same(made, tmp_path / "copy", source)


def test_a_backlog_that_was_overrun_begins_a_new_history_beside_the_old(
    source: Redis, tmp_path: Path
) -> None:
    source.ask("CONFIG", "SET", "repl-backlog-size", "16384")
    with behind(source, tmp_path / "c") as (link, made):
        made.wait_covered()
        source.fill(50)
        made.wait_covered()
        link.cut()
        source.ask("CONFIG", "SET", "client-output-buffer-limit", "replica 1 1 0")
        source.fill(3000)
        source.ask("CONFIG", "SET", "client-output-buffer-limit", "replica 0 0 0")
        link.mend()
        wait_for("a new history", lambda: len(made.histories()) == 2)
        made.wait_covered()
    with loaded(tmp_path / "old", made.histories()[0]) as copy:
        assert copy.ask("DBSIZE") == 50
    assert same(made, tmp_path / "new", source)


def test_a_rewrite_at_the_source_only_delays_the_dump(tmp_path: Path) -> None:
    with redis(tmp_path / "source", appendonly="yes") as source:
        source.ask("DEBUG", "POPULATE", "8000", "doc", "100")
        source.ask("CONFIG", "SET", "rdb-key-save-delay", "500")
        source.ask("BGREWRITEAOF")
        assert info(source, "persistence")["aof_rewrite_in_progress"] == "1"
        source.ask("CONFIG", "SET", "rdb-key-save-delay", "0")
        with capture(tmp_path / "c", source) as made:
            wait_for("it to ask", lambda: "slave0" in info(source, "replication"))
            assert info(source, "persistence")["aof_rewrite_in_progress"] == "1"
            assert not made.histories()
            source.ask("SET", "during", "the rewrite")
            made.wait_covered(60)
        assert info(source, "persistence")["rdb_last_bgsave_status"] == "ok"
        assert same(made, tmp_path / "copy", source)


def test_an_emptied_source_is_captured_as_emptied_and_can_be_had_full(
    source: Redis, tmp_path: Path
) -> None:
    with capture(tmp_path / "c", source) as made:
        made.wait_covered()
        source.fill(200)
        full = source.digest()
        made.wait_covered()
        time.sleep(1.1)
        source.ask("FLUSHALL")
        source.kill()
        source.start()
        source.ask("SET", "new", "1")
        made.wait_covered()
        assert len(made.histories()) == 2
        ranges = made.status()["histories"]
        assert [name for name, _, _ in ranges] == [each.name for each in made.histories()]
    log = made.histories()[0] / history.LOG_FOLDER / history.segment_name(1)
    content = log.read_bytes()
    log.write_bytes(content[: content.rindex(b"#TS:", 0, content.index(b"FLUSHALL"))])
    with loaded(tmp_path / "copy", made.histories()[0]) as copy:
        assert copy.digest() == full


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a disk of its own can only be mounted by root")
    folder.mkdir(parents=True)
    options = f"size={megabytes}m,mode=700"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "small", folder], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no disk of its own can be mounted here: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_disk_that_is_really_full_loses_nothing_and_goes_on_with_room(
    source: Redis, tmp_path: Path
) -> None:
    root = tmp_path / "c" / "captured"
    source.ask("CONFIG", "SET", "repl-backlog-size", "64mb")
    with small_disk(root, 3):
        with capture(tmp_path / "c", source, segment_bytes=400_000) as made:
            made.wait_covered()
            for number in range(400):
                source.ask("SET", f"big:{number}", "x" * 10_000)
            wait_for("the full disk", lambda: "No space" in made.process.log.read_text())
            assert made.process.child.poll() is None
            with loaded(tmp_path / "full", made.histories()[0]) as copy:
                assert 0 < copy.ask("DBSIZE") < 400
            # Its status could not be written either; its age tells.
            subprocess.run(["mount", "-o", "remount,size=40m", root], check=True)
            made.wait_covered(60)
        assert info(source, "stats")["sync_full"] == "1"
        assert len(made.histories()) == 1
        assert not list(history.faults(made.histories()[0]))
        assert same(made, tmp_path / "copy", source)


def test_a_password_that_is_changed_is_said_and_the_new_one_taken(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("old\n")
    with redis(tmp_path / "source") as source:
        source.ask("CONFIG", "SET", "requirepass", "old")
        with (
            proxy(source.port) as link,
            capture(tmp_path / "c", source, port=link.port, password_file=str(password)) as made,
        ):
            wait_for("it", lambda: made.status().get("state") == "following")
            source.server = source.server.__class__("127.0.0.1", source.port, str(password))
            source.ask("CONFIG", "SET", "requirepass", "new")
            link.drop()
            said = "does not accept the password"
            wait_for("a refusal", lambda: said in made.status().get("reason", ""))
            password.write_text("new\n")
            source.ask("SET", "a", "1")
            wanted = source_offset(source)
            wait_for("all", lambda: made.status().get("offset", 0) >= wanted)
        assert len(made.histories()) == 1
