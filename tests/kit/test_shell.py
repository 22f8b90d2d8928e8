"""The kit's scripts as any shell reads them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.integration.rig import ROOT
from tests.kit.conftest import SCRIPTS, Sh

ALL = sorted(SCRIPTS.glob("*.sh"))


def test_shellcheck_has_nothing_to_say() -> None:
    done = subprocess.run(["shellcheck", "-x", *ALL], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("script", [each for each in ALL if each.name != "common.sh"], ids=str)
def test_without_arguments_each_says_how_it_is_used(script: Path, sh: Sh) -> None:
    done = sh(script)
    assert done.returncode == 2
    assert f"sh {script.name}" in done.stderr
    assert len(done.stderr.splitlines()) >= 5
