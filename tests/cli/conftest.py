"""The command line as real processes, against the web tests' coordinator."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.web.access import Role
from tests.web.world import TOKENS, World, a_world, serving

Ran = subprocess.CompletedProcess[str]
Run = Callable[..., Ran]

AUTOBOT_DR = Path(sys.executable).parent / "autobot-dr"


def environment(**more: str) -> dict[str, str]:
    """Ours, without settings that the tester may have."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AUTOBOT_DR_")}
    return {**clean, "NO_COLOR": "1", **more}


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An initialised home, only to be read."""
    made = tmp_path_factory.mktemp("home")
    ran = subprocess.run(
        [AUTOBOT_DR, "init", made], env=environment(), capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    return made


@pytest.fixture
def world() -> Iterator[World]:
    with a_world() as made:
        yield made


@pytest.fixture
def url(world: World) -> Iterator[str]:
    with serving(world) as found:
        yield found


@pytest.fixture
def offline(home: Path) -> Run:
    """Runs `autobot-dr ARGUMENTS` in a home whose coordinator is not there."""

    def run(*arguments: str, **more: str) -> Ran:
        nobody = {"AUTOBOT_DR_HOME": str(home), "AUTOBOT_DR_API_URL": "http://127.0.0.1:9"}
        return subprocess.run(
            [AUTOBOT_DR, *arguments],
            env=environment(**nobody | more),
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


@pytest.fixture
def online(offline: Run, url: str) -> Run:
    """The same against the world's coordinator."""

    def run(*arguments: str, **more: str) -> Ran:
        there = {"AUTOBOT_DR_API_URL": url, "AUTOBOT_DR_TOKEN": TOKENS[Role.OPERATOR]}
        return offline(*arguments, **there | more)

    return run
