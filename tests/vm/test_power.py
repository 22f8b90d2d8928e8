"""A virtual machine on a real hypervisor: exported, gone back to, hung, up at another address."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.lab.machines import AGENT, NETWORK
from tests.integration.rig import wait_for
from tests.vm.image import ADDRESS
from tests.vm.site import NAME, OVER, UNIT, VM, Site, said, vm_site

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

OTHER = f"{NETWORK}.33"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with vm_site(tmp_path_factory.mktemp("power")) as made:
        made.define(clock=0)
        made.hypervisor.virsh("start", VM)
        made.wait_booted()
        assert made.inside("systemctl", "start", UNIT).ok
        yield made


def test_it_is_exported_and_gone_back_to(site: Site) -> None:
    with site.theatre.up():
        assert site.inside("systemctl", "start", "--no-block", AGENT).ok
        site.wait_condition("up")
        before = site.runs()
        for job in ("exports", "snapshots"):
            done = site.theatre.call(*site.theatre.command("backup", "run", job))
            print(done.stdout, done.stderr)
        (disk,) = Path(site.place / "share").rglob("vda.qcow2")
        assert disk.stat().st_size > 2**20
        assert site.inside("touch", "/root/written-later").ok
        points = site.theatre.ask("backup", "list")
        (point,) = (e for e in points["restore_points"] if e["job"] == "snapshots")
        taken = time.time()
        asked = site.theatre.call(
            *site.theatre.command("backup", "restore", point["id"], "--yes", "--no-wait")
        )
        print(asked.stdout, asked.stderr)
        run = site.new_run([*before], ("awaiting_approval",), seconds=60)
        site.theatre.ask("run", "approve", run["id"])
        run = site.new_run([e for e in site.runs() if e != run["id"]], OVER, seconds=300)
        assert not site.inside("test", "-e", "/root/written-later").ok
        print("its clock after going back:", site.ahead(), "after", time.time() - taken)
        assert site.serves()
        site.wait_condition("up")


def test_a_machine_that_hangs_is_power_cycled_after_a_yes(site: Site) -> None:
    with site.theatre.up():
        site.wait_condition("up")
        before, starts = site.runs(), site.hypervisor.starts(VM)
        # Its kernel is dead, and its hypervisor says that it runs.
        site.inside("sh", "-c", "(sleep 1; echo c > /proc/sysrq-trigger) > /dev/null 2>&1 &")
        asked = site.new_run(before, ("awaiting_approval",), seconds=180)
        assert site.condition() == "cut off"
        assert site.hypervisor.state(VM) == "running"
        assert site.hypervisor.starts(VM) == starts
        site.theatre.ask("run", "approve", asked["id"])
        run = site.new_run(before, OVER, seconds=400)
        print(said(run, "way"), [(e["operation"], e["outcome"], e["reason"]) for e in run["steps"]])
        assert site.hypervisor.starts(VM) == starts + 1
        assert site.serves()
        site.wait_condition("up")


def test_a_machine_that_comes_up_with_another_address_is_told_and_not_power_cycled_again(
    site: Site,
) -> None:
    with site.theatre.up():
        site.wait_condition("up")
        before, starts = site.runs(), site.hypervisor.starts(VM)
        assert site.inside("sh", "-c", f"echo {OTHER}/24 > {ADDRESS}; sync").ok
        site.hypervisor.virsh("destroy", VM)
        ended = site.new_run(before, ("awaiting_approval", "escalated"), seconds=400)
        site.lab.at = OTHER
        print(ended["state"], ended["reason"], said(ended, "way"))
        print([(e["operation"], e["outcome"], e["reason"]) for e in ended["steps"]])
        assert site.hypervisor.starts(VM) == starts + 1
        assert "it has another address now, which the fleet file must say" in str(ended["steps"])
        wait_for("its SSH server", lambda: site.inside("true").ok, seconds=60, pause=1)
        time.sleep(30)
        assert site.hypervisor.starts(VM) == starts + 1
        print("runs since:", [e for e in site.runs() if e not in before], site.condition())
    site.change_fleet("machines", NAME, {**site.machine(), "address": OTHER})
    known = site.lab.home / "keys" / "known_hosts"
    known.write_text(known.read_text() + known.read_text().replace(site.lab.address(NAME), OTHER))
    with site.theatre.up():
        resumed = site.theatre.call(*site.theatre.command("run", "resume", ended["id"]))
        print(resumed.stdout, resumed.stderr)
        run = site.new_run(before, OVER, seconds=300)
        print(run["state"], run["reason"])
        assert site.hypervisor.starts(VM) == starts + 1
        assert site.serves()
