"""A practice fleet with all its services up, one for each module of tests and each driver."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.lab import lab as labs
from deploy.lab.lab import Lab
from tests.fleet.looks import SERVICES


@pytest.fixture(scope="module", params=labs.drivers())
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    if reason := labs.why_not(request.param):
        pytest.skip(f"the {request.param} lab: {reason}")
    made = labs.prepare(request.param, tmp_path_factory.mktemp(request.param))
    try:
        made.power_all("start")
        made.wait_booted()
        for machine, unit in SERVICES.items():
            started = made.inside(machine, ["systemctl", "start", "--", unit])
            assert started.ok, started
        yield made
    finally:
        made.down()
