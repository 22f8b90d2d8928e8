"""A real broker of each kind, real agents, and a coordinator in the test's own process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration import rig
from tests.integration.site import Site


@pytest.fixture(params=["valkey", "rabbitmq"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[rig.Broker]:
    with rig.broker(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def site(broker: rig.Broker, tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(broker, tmp_path, stack)


@pytest.fixture(autouse=True, scope="session")
def _no_proxy() -> None:
    os.environ["NO_PROXY"] = "127.0.0.1,localhost"
