"""Which tests may run beside each other.

What lives here: that rule, for `make test` with its three workers: a test waits for a third of its
time, so two of them would leave two cores idle. What must not: fixtures, which belong beside the
tests that use them.

What runs real machines or the product's own processes gets a second try, which the summary names:
three workers on two cores, an occasional second is late by more than any patience of a test.

Each file is one group. What boots machines is three groups more, of which the first is as long as
the others together; they begin at once, each with a worker of its own.
"""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

#: Folders and files that boot machines of the practice lab, the longest group first.
_BOOTING = {
    "fleet": ("tests/fleet/",),
    "cold": ("tests/cold/",),
    "machine": ("tests/operations/", "tests/contracts/test_hypervisor.py"),
}

#: Folders of tests that run real machines, brokers or the product's own processes.
_REAL = tuple(
    f"tests/{folder}/" for folder in ("backup", "cli", "cold", "fleet", "integration", "operations")
)


class ByGroup(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types
    """A group is sent to one worker as a whole."""

    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByGroup:
    return ByGroup(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.startswith(_REAL):
            item.add_marker(pytest.mark.flaky(reruns=1))
    order = [*_BOOTING]
    items.sort(key=lambda item: (*order, _group(item.nodeid)).index(_group(item.nodeid)))


def _group(nodeid: str) -> str:
    file = nodeid.partition("::")[0]
    found = (group for group, places in _BOOTING.items() if file.startswith(places))
    return next(found, file)
