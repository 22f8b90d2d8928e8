"""A kit made of a real Redis behind a unit: what is in it, and that no secret is in clear."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.config import Configuration
from orchestrator.core.restorepoints import PointState, RestorePoint
from orchestrator.kitkeeping import KitKeeper, KitNotPlaced, before, write
from orchestrator.settings import Settings
from orchestrator.store.memory import MemoryStore
from tasks.backup import dump, proving
from tasks.backup.scratch import Programs
from tasks.host import Host, HostFault, LocalHost, Ran
from tests.backup.rig import Redis, redis
from tests.backup.systemd import fake_systemd
from tests.kit.conftest import Sh
from tests.kit.test_sealed import age_key
from tests.kit.world import configured

PASSWORD, TOKEN = "Sesame-4711", "t0ken-of-the-test"
NOW = 1_800_000_000.0


@dataclass(frozen=True, slots=True)
class World:
    server: Redis
    backup: Path
    folder: Path
    configuration: Configuration
    settings: Settings

    @property
    def kit(self) -> Path:
        return self.folder / "kit"

    def write(self, host: Host | None = None) -> dict[str, str]:
        chosen = host or LocalHost()
        made = write(self.configuration, self.settings, NOW, hosts=lambda _: chosen)
        return dict(made.files)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    folder = tmp_path / "home"
    folder.mkdir()
    with standing(tmp_path) as (server, backup):
        keys = [age_key(tmp_path / who) for who in ("ada", "grace")]
        found = configured(
            folder,
            port=server.port,
            password=server.server.password_file,
            backups=backup.parent,
            recipients=f"{keys[0]} Ada, {keys[1]} Grace",
            token=TOKEN,
            offsite=str(tmp_path / "elsewhere" / "kit"),
        )
        (folder / "ssh-key").write_text(
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjE\n"
        )
        yield World(server, backup, folder, *found)


@contextmanager
def standing(place: Path) -> Iterator[tuple[Redis, Path]]:
    """A Redis with a password behind a unit with a configuration file, and its proved backup."""
    conf = place / "redis.conf"
    # On both machines of the fleet file.
    given = {"requirepass": PASSWORD, "appendonly": "yes", "bind": "127.0.0.1 127.0.0.2"}
    with redis(place / "redis", **given) as server:
        server.fill(50)
        conf.write_text(f"port {server.port}\nrequirepass {PASSWORD}\nappendonly yes\n")
        line = f"/usr/bin/redis-server {conf} --port {server.port}"
        with fake_systemd(place, server, exec_start=line):
            settings = dump.Settings(
                str(place / "backups"), "127.0.0.1", server.port, server.server.password_file
            )
            taken, _ = dump.take(settings)
            proved, _ = proving.prove(LocalHost(), str(taken), Programs())
            assert proved.state == "verified", proved.reason
            yield server, taken


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


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def point(world: World) -> RestorePoint:
    known = proving.read_manifest(LocalHost(), str(world.backup))
    return RestorePoint(
        id=known.id,
        job="night",
        service="redis",
        machine="redis",
        vault="control",
        folder=str(world.backup),
        taken_at=known.taken_at,
        covers_until=known.covers_until,
        verified_at=known.verified_at,
        state=PointState.VERIFIED,
        reason="",
        size_bytes=known.size_bytes,
        sha256=known.sha256,
        reported_at=known.taken_at,
    )


def test_it_is_made_anew_once_a_backup_was_proved_and_not_again(world: World) -> None:
    store, clock = MemoryStore(), Clock()
    keeper = KitKeeper(
        world.configuration, world.settings, store, clock, hosts=lambda _: LocalHost()
    )
    keeper.tick()
    assert not world.kit.exists()
    store.restore_points.record(point(world))
    keeper.tick()
    made_at = (world.kit / "kit.json").stat().st_mtime_ns
    assert world.backup.name in (world.kit / "points.txt").read_text()
    keeper.tick()
    assert (world.kit / "kit.json").stat().st_mtime_ns == made_at
    # Another coordinator, after a crash, knows by the kit itself.
    (world.kit / "kit.json").unlink()
    shutil.rmtree(world.kit)
    again = KitKeeper(
        world.configuration, world.settings, store, clock, hosts=lambda _: LocalHost()
    )
    again.tick()
    assert (world.kit / "RESTORE.md").exists()


def test_what_keeps_it_from_being_made_is_told_until_it_is_mended(
    world: World, tmp_path: Path
) -> None:
    store, clock = MemoryStore(), Clock()
    store.restore_points.record(point(world))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kit").write_text("in the way")
    keeper = KitKeeper(
        world.configuration, world.settings, store, clock, hosts=lambda _: LocalHost()
    )
    told = keeper.complaints()["kit"]
    keeper.tick()
    assert "elsewhere/kit is there and is no recovery kit" in told()
    (tmp_path / "elsewhere" / "kit").unlink()
    keeper.tick()
    assert told(), "not tried again at once"
    assert (world.kit / "RESTORE.md").exists(), "here it is up to date"
    clock.now += 601
    keeper.tick()
    assert told() == ""
    assert (tmp_path / "elsewhere" / "kit" / "RESTORE.md").exists()
