"""A mail server and a store for the delivery's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrator.ports import Store
from orchestrator.store import MemoryStore
from tests.notify.mailbox import Mailbox


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with Mailbox().open() as opened_box:
        yield opened_box


@pytest.fixture
def store() -> Store:
    return MemoryStore()
