"""The databases that the store's suites run on, and the Hyper-V host of the driver's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.ports import Store
from orchestrator.store import MemoryStore, open_store
from tasks.host import LocalHost
from tasks.hypervisors import Hypervisor, connect
from tasks.hypervisors._hyperv_pool import SHELF
from tests.contracts.databases import Database
from tests.contracts.hypervisors import OTHER, VM, settings_file, wait_until
from tests.contracts.postgres import Server, running_server
from tests.hyperv.certificates import Authority
from tests.hyperv.server import HyperV, running_hyperv


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


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def host(authority: Authority) -> Iterator[HyperV]:
    with running_hyperv(VM, OTHER, tls=authority.server(), quota=5) as server:
        yield server
        SHELF.clear()
        wait_until(lambda: not server.wsman.shells)


@pytest.fixture
def at(tmp_path: Path, host: HyperV, authority: Authority) -> str:
    return settings_file(tmp_path, host, ca_file=authority.file)


@pytest.fixture
def asked(at: str) -> Hypervisor:
    return connect("hyperv", at, LocalHost())
