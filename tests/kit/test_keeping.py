"""Keeping the kit up to date: when it is made anew, and what is told while it cannot be."""

from __future__ import annotations

import shutil
from pathlib import Path

from orchestrator.core.restorepoints import PointState, RestorePoint
from orchestrator.kitkeeping import KitKeeper
from orchestrator.store.memory import MemoryStore
from tasks.backup import proving
from tasks.host import LocalHost
from tests.kit.world import NOW, World


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
