"""What goes wrong with backups of files: each is said, and the last good snapshot is usable."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from tasks.arguments import read_arguments
from tasks.backup import collecting, filemanifest
from tasks.backup.collecting import Settings
from tasks.backup.copying import NotCopied
from tasks.contract import Outcome
from tests.backup.filesrig import JOB, Site, point, site, small_disk
from tests.integration.rig import ROOT, wait_for


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vault with a proved snapshot; each test has a copy, for restic takes its time."""
    with site(tmp_path_factory.mktemp("kept")) as made:
        assert made.backup().outcome is Outcome.DONE
        assert made.prove().outcome is Outcome.DONE
        return made.repository.parent


@pytest.fixture
def good(here: Site, kept: Path) -> Site:
    """With a proved snapshot."""
    shutil.copytree(kept, here.repository.parent, dirs_exist_ok=True)
    return here


def namespace(*options: str) -> list[str]:
    """What begins a command whose processes are all ended with it, or whose name is another."""
    if os.geteuid() != 0:
        pytest.skip("a name space of its own needs root")
    return ["unshare", *options]


def collected(at: Site, **but: Any) -> filemanifest.FileManifest:
    wanted = at.wanted(into=str(at.room / "staging" / JOB), **but)
    known = {each.name for each in fields(Settings)}
    given = {name: each for name, each in wanted.items() if name in known}
    return collecting.collect(read_arguments(Settings, given))


@pytest.mark.parametrize("key", ["include", "sqlite", "git"])
def test_what_is_not_there_is_an_error(here: Site, key: str) -> None:
    with pytest.raises(NotCopied, match="nowhere"):
        collected(here, **{key: [str(here.live / "nowhere*")]})


def test_what_is_too_large_is_an_error_that_names_it(here: Site) -> None:
    with pytest.raises(NotCopied, match=r"max_bytes, 1000; the largest is .*data\.bin with 300000"):
        collected(here, max_bytes=1000)


def test_a_database_that_is_none_or_damaged_is_an_error(here: Site) -> None:
    (here.live / "store" / "text.sqlite3").write_text("no database " * 400)
    with pytest.raises(NotCopied, match=r"text\.sqlite3 cannot be copied: file is not a database"):
        collected(here)
    (here.live / "store" / "text.sqlite3").unlink()
    with here.database() as opened:
        opened.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        opened.execute("CREATE INDEX i ON notes (at)")
        opened.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    opened.close()
    file = here.live / "store" / "notes.sqlite3"
    content = bytearray(file.read_bytes())
    content[len(content) // 2 :] = os.urandom(len(content) - len(content) // 2)
    file.write_bytes(content)
    with pytest.raises(NotCopied, match=r"notes\.sqlite3 cannot be copied"):
        collected(here)


def test_a_repository_without_a_commit_and_one_that_is_none(here: Site) -> None:
    subprocess.run(["git", "init", "--quiet", here.live / "empty"], check=True)
    for name, said in (("empty", "empty bundle"), ("store", "Need a repository")):
        with pytest.raises(NotCopied, match=said):
            collected(here, git=[str(here.live / name)])


def test_an_ollama_that_is_down_is_an_error(here: Site) -> None:
    with pytest.raises(NotCopied, match="does not say what it has"):
        collected(here, ollama="http://127.0.0.1:9")


def test_sockets_and_pipes_are_named_and_left_out(here: Site) -> None:
    os.mkfifo(here.live / "store" / "pipe")
    with socket.socket(socket.AF_UNIX) as made:
        os.chdir(here.live / "store")
        made.bind("socket")
        os.chdir(ROOT)
        found = collected(here)
    assert [Path(each).name for each in found.left_out] == ["pipe", "socket"]
    assert {Path(each.path).name: each.target for each in found.entries if each.target} == {
        "link": "../app.service"
    }
    assert "log.tmp" not in found.text()


def test_a_file_that_never_holds_still_is_an_error_in_the_end(here: Site) -> None:
    script = "import sys\nwhile True:\n    open(sys.argv[1], 'ab').write(b'x' * 4096)"
    busy = here.live / "store" / "busy.log"
    busy.touch()
    os.truncate(busy, 100_000_000)
    writer = subprocess.Popen([sys.executable, "-c", script, busy])
    try:
        wait_for("the writer", lambda: busy.stat().st_size > 100_000_000)
        with pytest.raises(NotCopied, match=r"busy\.log .*, 3 times; leave it out or stop it"):
            collected(here, max_bytes=10**12)
    finally:
        writer.kill()
        writer.wait()


def test_a_file_that_vanishes_while_it_is_looked_at_is_no_harm(here: Site) -> None:
    script = (
        "import os, sys\nn = 0\nwhile True:\n    n += 1\n    p = f'{sys.argv[1]}/v{n % 9}'\n"
        "    open(p, 'w').close()\n    os.unlink(p)"
    )
    writer = subprocess.Popen([sys.executable, "-c", script, here.live / "store"])
    try:
        found = _patiently(here)
    finally:
        writer.kill()
        writer.wait()
    assert {Path(each.path).name for each in found.entries} >= {"data.bin", ".env", "repo"}


def _patiently(at: Site) -> filemanifest.FileManifest:
    """It may come to the third look and vanish then, which is said; it never half succeeds."""
    for _ in range(20):
        try:
            return collected(at)
        except NotCopied as moved:
            assert "3 times" in str(moved)  # noqa: PT017
    raise AssertionError("never whole")


def test_a_wrong_password_changes_nothing(good: Site) -> None:
    before = good.snapshots()
    right = good.password.read_text()
    good.password.write_text("wrong\n")
    for result in (good.backup(), good.prove(), good.at_vault("files.list")):
        assert result.outcome in (Outcome.FAILED, Outcome.UNKNOWN)
        assert "wrong password or no key found" in result.reason
    good.password.unlink()
    assert "password" in good.backup().reason
    good.password.write_text(right)
    assert good.snapshots() == before


def test_a_snapshot_that_left_something_out_does_not_count(good: Site, tmp_path: Path) -> None:
    """The real exit code 3 of a real restic that is made to read what cannot be read."""
    wrapper = tmp_path / "bin" / "restic"
    wrapper.parent.mkdir()
    real = shutil.which("restic")
    more = f'case "$*" in *" backup "*) exec {real} "$@" /proc/self/mem;; esac'
    wrapper.write_text(f'#!/bin/sh\n{more}\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{wrapper.parent}:{path}"
    try:
        pushed = good.backup()
    finally:
        os.environ["PATH"] = path
    assert pushed.outcome is Outcome.FAILED
    assert "it left something out (exit code 3)" in pushed.reason
    assert list((good.room / "staging" / JOB).iterdir()) == [], "no secrets are left lying"
    assert good.backup().outcome is Outcome.DONE, "the next one is as if nothing had been"


def test_a_flipped_byte_is_found_by_each_who_reads_it(good: Site) -> None:
    pack = good.packs()[0]
    pack.chmod(0o600)
    content = bytearray(pack.read_bytes())
    content[len(content) // 2] ^= 1
    pack.write_bytes(content)
    assert "is damaged" in good.at_vault("files.check", parts=1).reason
    proved = good.prove()
    assert proved.outcome is Outcome.FAILED
    assert point(proved)["state"] == "failed"
    way = {**good.way(), "snapshot": good.snapshots()[0], "restored": str(good.room / "back")}
    back = good.do("files.restore", way)
    assert back.outcome is Outcome.FAILED
    assert list((good.room / "back").iterdir()) == [], "nothing half restored"
    other = {"offsite": str(good.home / "away"), "offsite_password_file": str(good.password)}
    assert good.at_vault("files.offsite", **other).outcome is Outcome.REFUSED


def test_another_manifest_than_that_of_the_files_is_found(good: Site) -> None:
    """As by one who has the password and pushes a snapshot of his own."""
    stage = good.home / "forged"
    stage.mkdir()
    manifest = collected(good)
    (stage / filemanifest.NAME).write_text(manifest.text())
    (stage / "more").write_text("x")
    good.restic("backup", "--quiet", "--tag", JOB, "--host", "one", str(stage))
    proved = good.prove()
    assert proved.outcome is Outcome.FAILED
    assert "is missing in the snapshot" in proved.reason
    name = f"{JOB}-{good.snapshots()[-1][:8]}"
    assert point(proved)["id"] == name
    assert good.prove(snapshot=good.snapshots()[0][:8]).outcome is Outcome.DONE


def test_stale_locks_keep_nobody(good: Site) -> None:
    """Of a dead process here, and of another host: the second is left alone and is no failure."""
    lock = _lock(good, os.uname().nodename, "prune")
    assert good.at_vault("files.list").outcome is Outcome.DONE
    pushed = good.backup()
    assert pushed.outcome is Outcome.DONE, pushed.reason
    assert not lock.exists()
    keep = {"within_s": 3600.0, "daily": 0, "weekly": 0, "monthly": 0}
    old = time.strftime("%F %T", time.localtime(time.time() - 9 * 86400))
    tags = ("--quiet", "--tag", JOB, "--host", "one")
    good.restic("backup", *tags, "--time", old, str(good.live / ".env"))
    lock = _lock(good, "elsewhere", "push")
    waiting = good.at_vault("files.prune", **keep)
    assert waiting.outcome is Outcome.DONE
    assert waiting.reason == "1 snapshots stay for now, the repository is locked"
    assert lock.exists(), "somebody else's lock is not taken away"


def _lock(at: Site, host: str, what: str) -> Path:
    """A lock of a process that is gone: made by restic itself, killed, and renamed to `host`."""
    before = _locks(at)
    argv = [*namespace("--uts"), "sh", "-c", 'hostname "$0" && exec "$@"', host, "restic", "-r"]
    argv += [str(at.repository), "--password-file", str(at.password), "--no-cache", "--quiet"]
    argv += ["backup", "--tag", what, "--stdin"] if what == "push" else ["check", "--read-data"]
    child = subprocess.Popen(argv, stdin=subprocess.PIPE, start_new_session=True)
    try:
        wait_for("a lock", lambda: bool(_locks(at) - before))
        os.killpg(child.pid, signal.SIGSTOP)
        found = _locks(at) - before
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    assert found, "it was over too soon"
    return found.pop()


def _locks(at: Site) -> set[Path]:
    """Those that are whole; restic writes one under another name first."""
    return {each for each in (at.repository / "locks").iterdir() if "-" not in each.name}


def test_killed_in_the_middle_of_a_push_and_again(good: Site) -> None:
    (good.live / "store" / "large").write_bytes(os.urandom(60_000_000))
    job = {**good.wanted(max_bytes=10**9)}
    script = (
        "import json, sys\nfrom tasks.catalog import operations\nfrom tasks.host import LocalHost\n"
        "from tasks.operation import carry_out\n"
        "carry_out(LocalHost(), operations()['files.backup'], json.load(sys.stdin), ends=2e12)"
    )
    apart = namespace("--pid", "--fork", "--kill-child", "--mount-proc")
    child = subprocess.Popen(
        [*apart, sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        cwd=ROOT,
        start_new_session=True,
    )
    assert child.stdin
    child.stdin.write(json.dumps(job).encode())
    child.stdin.close()
    known = len(good.packs())
    try:
        wait_for("the first new pack", lambda: len(good.packs()) > known, seconds=60)
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    assert len(good.snapshots()) == 1, "there is no half snapshot"
    assert (good.room / "staging" / JOB).exists()
    again = good.backup(max_bytes=10**9)
    assert again.outcome is Outcome.DONE, again.reason
    assert good.prove().outcome is Outcome.DONE


def test_a_full_disk_where_it_is_collected_stored_or_proved(here: Site) -> None:
    (here.live / "store" / "large").write_bytes(os.urandom(6_000_000))
    with small_disk(here.room, "3m"):
        full = here.backup()
    assert full.outcome is Outcome.FAILED
    assert "do not fit in" in full.reason
    with small_disk(here.home / "vault", "4m"):
        full = here.backup()
        assert full.outcome is Outcome.FAILED
        assert "no space left on device" in full.reason
        assert here.snapshots() == []
    with small_disk(here.home / "vault", "11m"):
        assert here.backup().outcome is Outcome.DONE
        proved = here.prove()
        assert proved.outcome is Outcome.FAILED
        assert "make room for what the snapshot holds" in proved.reason
        assert here.snapshots()
        assert not Path(f"{here.repository}.scratch").exists()
