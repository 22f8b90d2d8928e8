"""One machine of the practice lab, for the tests that need a real systemd; booted on demand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.lab import lab as labs
from tasks.ssh import SshHost
from tests.operations.a_machine import MACHINES, logged_in


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[labs.Lab]:
    if reason := labs.why_not("nspawn"):
        pytest.skip(f"no machine: {reason}")
    lab = labs.prepare("nspawn", tmp_path_factory.mktemp("lab"), MACHINES)
    try:
        lab.power("start", "npu")
        lab.wait_booted(["npu"])
        yield lab
    finally:
        lab.down()


@pytest.fixture(scope="session")
def machine(lab: labs.Lab) -> Iterator[SshHost]:
    with logged_in(lab, "root") as host:
        yield host
