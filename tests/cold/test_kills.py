"""Scenario 7 with something killed in the middle: resolved all the same, and nothing done twice.

One cell of each column; the whole table is `make kills`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.lab import lab as labs
from tests.cold.site import ColdSite
from tests.sweeps.kills import Cell, kill_at, kill_site, steps

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ColdSite]:
    if reason := labs.why_not("nspawn"):
        pytest.skip(f"no lab of real machines here: {reason}")
    with kill_site(tmp_path_factory.mktemp("kills")) as made:
        yield made


@pytest.mark.parametrize(
    ("victim", "operation", "machine"),
    [
        ("broker", "service.start", "redis"),
        pytest.param("broker for good", "vm.start", "backend", marks=pytest.mark.long),
        ("coordinator", "machine.ready", "ai"),
        ("agent", "service.start", "backend"),
    ],
)
def test_nothing_is_lost_and_nothing_done_twice(
    site: ColdSite, victim: str, operation: str, machine: str
) -> None:
    step = next(e for e in steps(site) if (e.operation, e.machine) == (operation, machine))
    cell: Cell = kill_at(site, victim, step)
    assert cell.passed, cell
    assert cell.over_ssh or victim != "broker for good"
