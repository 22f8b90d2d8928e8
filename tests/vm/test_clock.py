"""A machine whose clock is wrong, on a real virtual machine with a clock of its own: what is done
over SSH looks at the clock first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.vm.site import UNIT, VM, Site, said, vm_site

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

HOUR = 3600
BELIEVED_SECONDS = 10


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with vm_site(tmp_path_factory.mktemp("clock")) as made:
        made.define(clock=-HOUR)
        made.hypervisor.virsh("start", VM)
        made.wait_booted()
        yield made


def test_it_is_left_and_said_where_policy_says_never(site: Site) -> None:
    assert -HOUR - 60 < site.ahead() < -HOUR + 60
    ways = said(broken_and_mended(site), "way")
    assert " s behind, so its agent is not believed and refuses orders" in ways
    assert "its clock is left as it is: `recovery: {clock: never}`" in ways
    assert -HOUR - 60 < site.ahead() < -HOUR + 60


def test_it_is_set_where_policy_says_so(site: Site) -> None:
    site.change_fleet("recovery", "clock", "set")
    ways = said(broken_and_mended(site), "way")
    assert "date -s: its clock is right now" in ways
    assert abs(site.ahead()) < BELIEVED_SECONDS


def broken_and_mended(site: Site) -> dict[str, Any]:
    """Without broker and coordinator: the same way that a coordinator takes for such an agent."""
    assert site.inside("systemctl", "stop", UNIT).ok
    run: dict[str, Any] = site.theatre.ask("recover", "redis", "--direct")
    assert run["state"] == "resolved", run
    assert site.serves()
    return run
