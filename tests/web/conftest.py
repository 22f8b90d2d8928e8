"""A small world with its app, and callers of each role."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from orchestrator.web.access import Role
from tests.web.world import Api, World, a_world, serving


@pytest.fixture
def world() -> Iterator[World]:
    with a_world() as made:
        yield made


@pytest.fixture
def url(world: World) -> Iterator[str]:
    with serving(world) as found:
        yield found


@pytest.fixture
def caller(url: str) -> Callable[[Role | None], Api]:
    return lambda role: Api(url, role)


@pytest.fixture
def api(url: str) -> Api:
    return Api(url, Role.OPERATOR)
