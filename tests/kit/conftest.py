"""A source, its proved backup, and a kit around the shipped scripts."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from orchestrator.setup import SHIPPED
from tasks.backup.manifest import from_json
from tests.backup.conftest import backup, source
from tests.backup.rig import Redis
from tests.kit.world import world

__all__ = ["backup", "source", "world"]

SCRIPTS = SHIPPED / "kit"

Sh = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def sh() -> Sh:
    """Runs a script under dash, which knows no more than POSIX asks for."""

    def run(
        script: Path, *arguments: str, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        dash = shutil.which("dash")
        assert dash, "dash is missing: apt-get install dash"
        argv = [dash, str(script), *arguments]
        return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60)

    return run


def facts(server: Redis, *, append_only: str = "no", unit: str = "none") -> dict[str, str]:
    """What services/redis.sh says of it."""
    return {
        "MACHINE": "redis",
        "UNIT": unit,
        "SERVER": "",
        "CONFIG": "",
        "ADDRESS": "127.0.0.1",
        "PORT": str(server.port),
        "PASSWORD_FILE": server.server.password_file,
        "DATA": str(server.folder),
        "DBFILENAME": "dump.rdb",
        "APPENDONLY": append_only,
        "APPENDDIRNAME": "appendonlydir",
        "APPENDFILENAME": "appendonly.aof",
        "OWNER": "root:root",
        "FILE_MODE": "640",
        "FOLDER_MODE": "750",
        "VERSION": "7.0.15",
        "PACKAGE": "redis-server",
        "MODULES": "",
        "MODULE_PACKAGES": "",
    }


def lay_kit(place: Path, told: Mapping[str, str], *backups: Path) -> Path:
    """The scripts with the lists that they read."""
    kit = place / "kit"
    place.mkdir(exist_ok=True)
    shutil.copytree(SCRIPTS, kit)
    (kit / "services").mkdir()
    words = "".join(f"{name}={shlex.quote(value)}\n" for name, value in told.items())
    (kit / "services" / "redis.sh").write_text(words)
    (kit / "manifests").mkdir()
    lines = []
    for each in sorted(backups, reverse=True):
        text = (each / "manifest.json").read_text()
        known = from_json(text)
        (kit / "manifests" / f"{known.id}.json").write_text(text)
        lines.append(f"redis {known.id} then {known.size_bytes} 0 vault:{each}\n")
    (kit / "points.txt").write_text("".join(lines))
    return kit
