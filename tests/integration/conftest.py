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


#: On RabbitMQ these are `long`, for it takes ten seconds to start. What every run must show on
#: both brokers is in test_crashes.py and test_main_path.py.
LONG_ON_RABBITMQ = ("test_beats.py", "test_own_machine.py", "test_ways.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.name in LONG_ON_RABBITMQ and "rabbitmq" in item.name:
            item.add_marker(pytest.mark.long)
