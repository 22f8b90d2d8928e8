"""A machine whose clock is wrong, on a real virtual machine with a clock of its own: its agent is
not believed, so its orders go over SSH, where the clock is looked at first."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.lab.machines import AGENT
from tests.vm.site import OVER, UNIT, VM, Site, said, vm_site

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

HOUR = 3600


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with vm_site(tmp_path_factory.mktemp("clock")) as made:
        made.define(clock=-HOUR)
        made.hypervisor.virsh("start", VM)
        made.wait_booted()
        assert made.inside("systemctl", "start", UNIT).ok
        yield made


def test_it_is_left_and_said_where_policy_says_never(site: Site) -> None:
    assert -HOUR - 60 < site.ahead() < -HOUR + 60
    with site.theatre.up():
        assert site.inside("systemctl", "start", "--no-block", AGENT).ok
        run = broken_and_mended(site)
        ways = said(run, "way")
        assert "over SSH: the agent of redis does not answer, its SSH server does" in ways
        assert " s behind, so its agent is not believed and refuses orders" in ways
        assert "its clock is left as it is: `recovery: {clock: never}`" in ways
        assert -HOUR - 60 < site.ahead() < -HOUR + 60
        # Not dead, and not believed, which is told.
        assert site.inside("systemctl", "is-active", AGENT).out.strip() == "active"
        site.wait_condition("without agent")
        assert " s behind, or the beat was kept" in site.seen()["reason"]


def test_it_is_set_and_the_agent_is_believed_again(site: Site) -> None:
    site.change_fleet("recovery", "clock", "set")
    with site.theatre.up():
        run = broken_and_mended(site)
        ways = said(run, "way")
        assert "date -s: its clock is right now" in ways
        assert abs(site.ahead()) < 10
        site.wait_condition("up")
        again = site.theatre.ask("recover", "redis")
        assert again["state"] == "resolved"
        assert said(site.theatre.ask("run", "show", again["id"]), "way") == ""
    assert site.hypervisor.starts(VM) == 1


def broken_and_mended(site: Site) -> dict[str, object]:
    """Begun without a hand, and ended by its first rung."""
    site.wait_condition("without agent")
    before = site.runs()
    assert site.inside("systemctl", "stop", UNIT).ok
    run = dict(site.new_run(before, OVER, seconds=240))
    assert site.serves()
    assert {each["rung"] for each in run["steps"]} == {0}
    return run
