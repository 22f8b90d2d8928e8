"""restore-redis.sh under dash with real servers: whatever lies there, and what it refuses."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.backup import dump, proving
from tasks.backup.scratch import Programs
from tasks.host import LocalHost
from tests.backup.orders import holds_backup, production, untouched
from tests.backup.rig import Redis, answers, info
from tests.backup.systemd import UNIT
from tests.integration.rig import wait_for
from tests.kit.conftest import Sh, facts, lay_kit


@pytest.mark.parametrize(
    ("append_only", "dump_there", "runs"),
    [("yes", True, True), ("yes", False, False), ("no", True, False), ("no", False, True)],
)
def test_whatever_lies_there_the_backup_is_loaded_and_the_old_is_kept(
    backup: Path, tmp_path: Path, sh: Sh, append_only: str, dump_there: bool, runs: bool
) -> None:
    with production(tmp_path, appendonly=append_only) as server:
        if dump_there:
            server.ask("SAVE")
        if not runs:
            server.kill()
        told = facts(server, append_only=append_only, unit=UNIT)
        kit = lay_kit(tmp_path, told, backup)
        done = sh(kit / "restore-redis.sh", str(backup.parent))
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"done: {UNIT} loaded all 326 keys of {backup.name}" in done.stdout
        assert holds_backup(server)
        assert info(server, "memory")["number_of_functions"] == "1"
        there = sorted(each.name for each in server.folder.glob("pre-restore-*/*"))
        assert ("dump.rdb" in there) is (dump_there or runs)
        assert ("appendonlydir" in there) is (append_only == "yes")
        assert oct((server.folder / "dump.rdb").stat().st_mode)[-3:] == "640"


def test_without_a_unit_the_data_is_placed_and_the_rest_is_said(
    backup: Path, tmp_path: Path, sh: Sh
) -> None:
    with production(tmp_path, appendonly="yes") as server:
        server.kill()
        kit = lay_kit(tmp_path, facts(server, append_only="yes"), backup)
        done = sh(kit / "restore-redis.sh", "-u", "none", str(backup))
        assert done.returncode == 0, done.stderr
        assert "see that it loads 326 keys" in done.stdout
        server.start()
        assert holds_backup(server)


def test_a_test_only_tells_the_digest_that_the_source_has(
    source: Redis, tmp_path: Path, sh: Sh
) -> None:
    source.fill(323)
    folder, _ = dump.take(dump.Settings(str(tmp_path / "again"), "127.0.0.1", source.port))
    proving.prove(LocalHost(), str(folder), Programs())
    kit = lay_kit(tmp_path, facts(source), folder)
    done = sh(kit / "restore-redis.sh", "-t", str(folder.parent))
    assert done.returncode == 0, done.stderr
    assert source.digest() in done.stdout
    assert source.ask("DBSIZE") == 323


def damaged(backup: Path) -> None:
    """A value is another one: the size is the same, and the length of the data too."""
    path = backup / "dump.rdb"
    content = path.read_bytes()
    path.write_bytes(content.replace(b"value 7", b"value 8"))


def cut(backup: Path) -> None:
    path = backup / "dump.rdb"
    path.write_bytes(path.read_bytes()[:-9])


def with_its_manifest(backup: Path) -> None:
    """Whoever changes the dump changes what lies beside it: only the kit knows better."""
    damaged(backup)
    digest = hashlib.sha256((backup / "dump.rdb").read_bytes()).hexdigest()
    known = proving.read_manifest(LocalHost(), str(backup))
    proving.write_manifest(LocalHost(), str(backup), replace(known, sha256=digest))


@pytest.mark.parametrize("harm", [damaged, cut, with_its_manifest])
def test_a_backup_that_is_not_what_was_proved_is_refused(
    backup: Path, tmp_path: Path, sh: Sh, harm: Callable[[Path], None]
) -> None:
    with production(tmp_path, appendonly="yes") as server:
        kit = lay_kit(tmp_path, facts(server, append_only="yes", unit=UNIT), backup)
        harm(backup)
        done = sh(kit / "restore-redis.sh", str(backup.parent))
        assert done.returncode == 1
        assert "refused, nothing was changed" in done.stderr
        untouched(server, tmp_path)


def test_a_dump_with_another_number_of_keys_than_listed_is_refused(
    backup: Path, tmp_path: Path, sh: Sh
) -> None:
    with production(tmp_path) as server:
        kit = lay_kit(tmp_path, facts(server, unit=UNIT), backup)
        (listed,) = (kit / "manifests").iterdir()
        listed.write_text(listed.read_text().replace('"total": 326', '"total": 327'))
        done = sh(kit / "restore-redis.sh", str(backup.parent))
        assert done.returncode == 1
        assert "326 keys were loaded, and the backup holds 327" in done.stderr
        untouched(server, tmp_path)


def test_of_several_the_newest_proved_one_is_taken_also_without_the_kits_list(
    backup: Path, source: Redis, tmp_path: Path, sh: Sh
) -> None:
    settings = dump.Settings(str(backup.parent), "127.0.0.1", source.port)
    source.ask("SET", "newer", "1")
    newer, _ = dump.take(settings)
    proving.prove(LocalHost(), str(newer), Programs())
    unproved, _ = dump.take(settings)
    assert unproved.name > newer.name > backup.name
    kit = lay_kit(tmp_path, facts(source), backup, newer)
    assert f"testing {newer}\n" in sh(kit / "restore-redis.sh", "-t", str(backup.parent)).stdout
    above = sh(kit / "restore-redis.sh", "-t", str(backup.parent.parent))
    assert f"testing {newer}\n" in above.stdout, "as restic restores it"
    asked = sh(kit / "restore-redis.sh", "-t", "-b", backup.name, str(backup.parent))
    assert f"testing {backup}\n" in asked.stdout
    refused = sh(kit / "restore-redis.sh", "-t", "-b", unproved.name, str(backup.parent))
    assert f"{unproved.name} is taken; only a proved backup is restored" in refused.stderr
    (kit / "points.txt").write_text("")
    shutil.rmtree(kit / "manifests")
    alone = sh(kit / "restore-redis.sh", "-t", str(backup.parent))
    assert f"testing {newer}\n" in alone.stdout
    assert "only the manifest beside it vouches for it" in alone.stdout


def test_missing_programs_users_and_units_are_named_with_their_packages(
    backup: Path, tmp_path: Path, sh: Sh
) -> None:
    with production(tmp_path) as server:
        told = {**facts(server, unit=UNIT), "PACKAGE": "redis-stack-server"}
        kit = lay_kit(tmp_path, told, backup)
        bare = tmp_path / "bin"
        bare.mkdir()
        for name in ("sh", "sed", "head", "cut", "dirname", "basename", "cat", "stat"):
            (bare / name).symlink_to(shutil.which(name) or "")
        done = sh(kit / "restore-redis.sh", str(backup), env={"PATH": str(bare)})
        assert (
            "redis-server is missing; install it with: apt-get install redis-stack" in done.stderr
        )
        done = sh(kit / "restore-redis.sh", "-o", "nobody-here:x", str(backup))
        assert "nothing was changed: there is no user nobody-here" in done.stderr
        told["MODULES"] = "/opt/redis-stack/lib/redisearch.so ARG 1"
        told["MODULE_PACKAGES"] = "redis-redisearch"
        kit = lay_kit(tmp_path / "other", told, backup)
        done = sh(kit / "restore-redis.sh", str(backup))
        assert "redisearch.so is missing" in done.stderr
        assert "install redis-redisearch" in done.stderr
        (tmp_path / "unit" / "show").write_text("LoadState=not-found\n")
        kit = lay_kit(tmp_path / "third", facts(server, unit=UNIT), backup)
        done = sh(kit / "restore-redis.sh", str(backup))
        assert "put the machine's files in place first (sh place-files.sh redis)" in done.stderr
        untouched(server, tmp_path)


def test_a_unit_that_does_not_stop_keeps_its_data(backup: Path, tmp_path: Path, sh: Sh) -> None:
    with production(tmp_path) as server:
        (tmp_path / "unit" / "refuses-stop").touch()
        kit = lay_kit(tmp_path, facts(server, unit=UNIT), backup)
        done = sh(kit / "restore-redis.sh", str(backup))
        assert "does not stop, so its data was left alone" in done.stderr
        assert server.ask("GET", "precious") == b"live"
        assert not list(server.folder.glob("*restore-*"))


def test_a_password_is_asked_for_and_never_on_a_command_line(
    backup: Path, tmp_path: Path, sh: Sh
) -> None:
    with production(tmp_path, requirepass="Sesame-4711", appendonly="yes") as server:
        kit = lay_kit(tmp_path, facts(server, append_only="yes", unit=UNIT), backup)
        done = sh(kit / "restore-redis.sh", str(backup.parent))
        assert done.returncode == 0, done.stderr
        assert holds_backup(server)
    for script in kit.glob("*.sh"):
        assert not re.search(r"\$CLI.* -a |--pass(?!word-file)", script.read_text())


def test_the_way_back_is_said_and_leads_back(backup: Path, tmp_path: Path, sh: Sh) -> None:
    with production(tmp_path, appendonly="yes") as server:
        kit = lay_kit(tmp_path, facts(server, append_only="yes", unit=UNIT), backup)
        done = sh(kit / "restore-redis.sh", str(backup.parent))
        kept = Path(done.stdout.partition("What was there is in ")[2].partition(";")[0])
        subprocess.run(["systemctl", "stop", UNIT], check=True)
        aside = server.folder / "aside"
        aside.mkdir()
        for name in ("dump.rdb", "appendonlydir"):
            (server.folder / name).rename(aside / name)
            if (kept / name).exists():
                (kept / name).rename(server.folder / name)
        subprocess.run(["systemctl", "start", UNIT], check=True)
        wait_for("Redis", lambda: answers(server))
        assert server.ask("GET", "precious") == b"live"


@pytest.mark.parametrize(
    "after_s", [0.35, *(pytest.param(each, marks=pytest.mark.long) for each in (0.2, 0.5, 0.8))]
)
def test_killed_at_any_moment_both_data_sets_are_there_and_it_can_be_done_again(
    backup: Path, tmp_path: Path, sh: Sh, after_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = Path(tempfile.mkdtemp(prefix="t", dir="/var/tmp"))  # a socket's path must be short
    monkeypatch.setenv("TMPDIR", str(scratch))
    with production(tmp_path, appendonly="yes") as server:
        kit = lay_kit(tmp_path, facts(server, append_only="yes", unit=UNIT), backup)
        argv = ["dash", str(kit / "restore-redis.sh"), str(backup)]
        child = subprocess.Popen(argv, start_new_session=True)
        time.sleep(after_s)
        # Not the whole group: the server that it started would be no unit's otherwise.
        child.kill()
        child.wait()
        done = sh(kit / "restore-redis.sh", str(backup))
        assert done.returncode == 0, done.stderr
        assert holds_backup(server)
        assert not list(server.folder.glob(".restore-*"))
        logs = [p.read_bytes() for p in server.folder.glob("pre-restore-*/*/*.aof")]
        assert any(b"precious" in each for each in logs)
    assert list(scratch.iterdir()) == [], "also what the killed one had left"
    scratch.rmdir()


def test_without_room_nothing_is_changed(backup: Path, tmp_path: Path, sh: Sh) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    place = tmp_path / "production"
    place.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)]
    subprocess.run(mounted, check=True)
    try:
        with production(tmp_path, appendonly="yes") as server:
            # All that is left, and then a little back: less than the backup has.
            with (place / "filler").open("wb", buffering=0) as filler, suppress(OSError):
                while filler.write(bytes(4096)):
                    pass
            kit = lay_kit(tmp_path, facts(server, append_only="yes", unit=UNIT), backup)
            done = sh(kit / "restore-redis.sh", str(backup))
            assert done.returncode == 1
            assert "could not be copied" in done.stderr
            assert "make room there" in done.stderr
            untouched(server, tmp_path)
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
