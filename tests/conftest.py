"""Which tests may run beside each other.

What lives here: that rule, for `make test` with its two workers. What must not: fixtures, which
belong beside the tests that use them.

What runs real machines or the product's own processes gets a second try, which the summary names:
two workers on two cores, an occasional second is late by more than any patience of a test.

Each file is one group, and all that boots machines is one group more: two labs at a time would
starve each other on a small machine. The lab's group comes first, because it takes longest.
"""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

#: Folders and files that boot machines of the practice lab.
_LAB = ("tests/fleet/", "tests/cold/", "tests/operations/", "tests/contracts/test_hypervisor.py")


#: Folders of tests that run real machines, brokers or the product's own processes.
_REAL = ("tests/fleet/", "tests/cold/", "tests/operations/", "tests/cli/", "tests/integration/")


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
    items.sort(key=lambda item: _group(item.nodeid) != "lab")


def _group(nodeid: str) -> str:
    file = nodeid.partition("::")[0]
    return "lab" if file.startswith(_LAB) else file
