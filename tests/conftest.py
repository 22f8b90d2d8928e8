"""Which tests may run beside each other.

What lives here: that rule. What must not: fixtures, which belong beside the tests that use them.

Each file is one group, and all that boots machines is one group more: two labs at a time would
starve each other on a small machine. The lab's group comes first, because it takes longest.
"""

from __future__ import annotations

import pytest

#: Folders and files that boot machines of the practice lab.
_LAB = ("tests/fleet/", "tests/cold/", "tests/operations/", "tests/contracts/test_hypervisor.py")


@pytest.hookimpl(tryfirst=True)  # xdist reads the mark right afterwards
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    items.sort(key=lambda item: _group(item) != "lab")


def _group(item: pytest.Item) -> str:
    file = item.nodeid.partition("::")[0]
    return "lab" if file.startswith(_LAB) else file
