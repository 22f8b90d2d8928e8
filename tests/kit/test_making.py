"""A kit made of a real Redis behind a unit: what is in it, and that no secret is in clear."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.config import Configuration, load
from orchestrator.kitkeeping import KitNotPlaced, before, write
from tasks.backup import dump, proving
from tasks.host import Host, HostFault, LocalHost, Ran
from tests.kit.conftest import Sh
from tests.kit.world import NOW, PASSWORD, TOKEN, World, files_job, take_files


def in_clear(folder: Path) -> str:
    files = (p for p in folder.rglob("*") if p.is_file() and p.suffix != ".age")
    return "\n".join(each.read_text() for each in files)


def test_no_secret_is_in_clear_and_all_are_sealed_for_each_recipient(
    world: World, tmp_path: Path, sh: Sh
) -> None:
    world.write()
    text = in_clear(world.kit)
    key = "b3BlbnNzaC1rZXktdjE"
    for secret in (PASSWORD, TOKEN, f"{TOKEN}-too", key):
        assert secret not in text
    for who in ("ada", "grace"):
        done = sh(world.kit / "unseal.sh", str(tmp_path / who), str(tmp_path / f"of-{who}"))
        assert done.returncode == 0, done.stderr
        opened = "\n".join(
            p.read_text() for p in (tmp_path / f"of-{who}").rglob("*") if p.is_file()
        )
        for secret in (PASSWORD, TOKEN, key):
            assert secret in opened
    assert (tmp_path / "of-ada/fleet/fleet.yaml").read_text() == (
        world.folder / "fleet.yaml"
    ).read_text()
    conf = (world.kit / f"machines/redis/files{tmp_path}/redis.conf").read_text()
    assert "requirepass (sealed)" in conf
    assert "appendonly yes" in conf


def test_it_names_the_proved_backups_and_what_the_server_was(world: World) -> None:
    unproved, _ = dump.take(
        dump.Settings(
            str(world.backup.parent),
            "127.0.0.1",
            world.server.port,
            world.server.server.password_file,
        )
    )
    world.write()
    assert (world.kit / "points.txt").read_text().split()[:2] == ["redis", world.backup.name]
    assert unproved.name not in in_clear(world.kit)
    public = json.loads((world.kit / f"manifests/{world.backup.name}.json").read_text())
    assert public["contents"]["samples"] == {}, "names of keys are nobody's business"
    assert public["sha256"] == proving.read_manifest(LocalHost(), str(world.backup)).sha256
    told = (world.kit / "services" / "redis.sh").read_text()
    for line in ("UNIT=redis-of-the-test", "APPENDONLY=yes", f"DATA={world.server.folder}"):
        assert f"{line}\n" in told
    page = (world.kit / "RESTORE.md").read_text()
    assert f"| {world.backup.name} | redis |" in page
    assert f"{world.backup.parent} on control" in page
    assert "sh restore-redis.sh -s redis" in page


def test_its_own_scripts_restore_from_it(world: World, tmp_path: Path, sh: Sh) -> None:
    world.write()
    digest = world.server.digest()
    world.server.ask("FLUSHALL")
    opened = sh(world.kit / "unseal.sh", str(tmp_path / "ada"))
    assert opened.returncode == 0, opened.stderr
    done = sh(world.kit / "restore-redis.sh", str(world.backup.parent))
    assert done.returncode == 0, done.stderr
    assert world.server.digest() == digest


def test_it_is_also_elsewhere_with_the_same_hashes(world: World, tmp_path: Path) -> None:
    world.write()
    other = tmp_path / "elsewhere" / "kit"
    assert (other / "SHA256SUMS").read_bytes() == (world.kit / "SHA256SUMS").read_bytes()
    done = subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=other)
    assert done.returncode == 0


class Away(LocalHost):
    """A machine that cannot be reached."""

    def run(self, *_what: Any, **_how: Any) -> Ran:
        raise HostFault("no route to it")


def test_a_machine_that_is_away_keeps_what_the_kit_before_had_of_it(world: World) -> None:
    first = world.write()
    away: dict[str, Host] = {"redis": Away(), "control": LocalHost()}
    made = write(world.configuration, world.settings, NOW + 9, hosts=lambda name: away[name])
    kept = [path for path in first if path.startswith("machines/redis/")]
    assert kept
    assert all(made.files[path] == first[path] for path in kept)
    assert made.files["services/redis.sh"] == first["services/redis.sh"]
    assert any("redis could not be asked (no route to it)" in each for each in made.missing)
    assert "no route to it" in made.files["RESTORE.md"]
    # The vault away: its points are known from before.
    away = {"redis": LocalHost(), "control": Away()}
    made = write(world.configuration, world.settings, NOW + 9, hosts=lambda name: away[name])
    assert world.backup.name in made.files["points.txt"]
    assert made.files[f"manifests/{world.backup.name}.json"]


def test_without_age_the_kit_that_is_there_stays(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write()
    old = before(world.kit)
    bare = tmp_path / "bin"
    bare.mkdir()
    for name in ("sh", "find", "tar", "stat", "cat"):
        (bare / name).symlink_to(f"/usr/bin/{name}")
    monkeypatch.setenv("PATH", str(bare))
    with pytest.raises(KitNotPlaced, match=r"age is missing .* apt-get install age"):
        world.write()
    assert before(world.kit) == old


def test_with_nobody_named_there_is_a_kit_without_passwords(world: World) -> None:
    place = world.configuration.inventory.kit
    assert place is not None
    nobody = replace(world.configuration.inventory, kit=replace(place, recipients=()))
    configuration = replace(world.configuration, inventory=nobody)
    made = write(configuration, world.settings, NOW, hosts=lambda _: LocalHost())
    assert made.sealed == 0
    assert PASSWORD not in "".join(made.files.values())
    assert any("because nobody is named to open it" in each for each in made.missing)


def test_a_redis_that_is_down_is_known_as_it_was(world: World) -> None:
    world.write()
    told = (world.kit / "services" / "redis.sh").read_text()
    assert "VERSION=7" in told
    world.server.kill()
    world.write()
    assert (world.kit / "services" / "redis.sh").read_text() == told
    shutil.rmtree(world.kit)
    made = world.write()
    # Its configuration file names no folder, and a guess would be wrong.
    assert "DATA=''\n" in made["services/redis.sh"]


def test_a_secret_that_would_stand_on_the_page_keeps_it_from_being_written(world: World) -> None:
    inventory = world.configuration.inventory
    roles = {**inventory.roles, "redis": f"the data; log in with {PASSWORD}"}
    configuration = replace(world.configuration, inventory=replace(inventory, roles=roles))
    with pytest.raises(KitNotPlaced, match=r"RESTORE\.md would hold a secret in clear") as told:
        write(configuration, world.settings, NOW, hosts=lambda _: LocalHost())
    assert PASSWORD not in str(told.value)
    assert not world.kit.exists()


def test_files_are_in_it_too_and_restored_by_its_page(world: World, tmp_path: Path, sh: Sh) -> None:
    fleet = (world.folder / "fleet.yaml").read_text()
    text = fleet.replace("\nkit:", f"\n{files_job(tmp_path / 'vault')}kit:")
    (world.folder / "fleet.yaml").write_text(text)
    configuration = load(world.settings.fleet, world.settings.runbooks)
    assert isinstance(configuration, Configuration), configuration
    point = take_files(configuration)
    made = write(configuration, world.settings, NOW, hosts=lambda _: LocalHost())
    assert f"papers {point} " in made.files["points.txt"]
    assert f"restic-{PASSWORD}" not in in_clear(world.kit)
    (block,) = re.findall(r"```sh\n([^`]*restore-files.sh[^`]*)```", made.files["RESTORE.md"])
    opened = sh(world.kit / "unseal.sh", str(tmp_path / "ada"), str(tmp_path / "open"))
    assert opened.returncode == 0, opened.stderr
    (tmp_path / "copied").mkdir()
    (tmp_path / "vault" / "repository").rename(tmp_path / "copied" / "papers")
    given = {
        "KIT": str(world.kit),
        "BACKUPS": str(tmp_path / "copied"),
        "OPEN": str(tmp_path / "open"),
        "FILES": str(tmp_path / "restored"),
    }
    done = subprocess.run(
        ["dash", "-c", block], env={**os.environ, **given}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert f"holds {point}: 2 files" in done.stdout
    assert "note:" not in done.stdout
    (back,) = (tmp_path / "restored").rglob("Größe.txt")
    assert back.read_text() == "so groß\n"
