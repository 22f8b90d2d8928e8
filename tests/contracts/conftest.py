"""The databases that the store's suites run on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.ports import Store
from orchestrator.store import MemoryStore, open_store
from tests.contracts.databases import Database
from tests.contracts.postgres import Server, running_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    if request.param == "sqlite":
        return Database("sqlite", f"sqlite:///{tmp_path}/store.db")
    server: Server = request.getfixturevalue("postgres")
    return Database("postgresql", server.url(server.new_database()))


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "memory":
        opened: Store = MemoryStore()
    elif request.param == "sqlite":
        opened = open_store(f"sqlite:///{tmp_path}/store.db")
    else:
        server: Server = request.getfixturevalue("postgres")
        opened = open_store(server.url(server.new_database()))
    yield opened
    opened.close()
