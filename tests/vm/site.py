"""One virtual machine in the lab's network, with the product beside it and a libvirt below.

What lives here: making all of that, and looking at it past the product. What must not: any story
(the tests). The lab's own machine of the same name stays off: its address, keys and units are
what the virtual one is made of.
"""

from __future__ import annotations

import shlex
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.lab import lab as labs
from deploy.lab import rootfs
from deploy.lab.lab import CHECKOUT, HERE
from deploy.lab.machines import AUTOBOT
from deploy.lab.nspawn_lab import PLACES, TMPFILES, NspawnLab
from deploy.lab.stage import Theatre, fitted
from orchestrator.setup import SHIPPED
from tasks.host import LocalHost, Ran
from tests.integration.rig import wait_for
from tests.vm import image
from tests.vm.hypervisor import Hypervisor, running_hypervisor, why_not

NAME, UNIT, VM = "redis", "redis-stack-server", AUTOBOT[0].vm
#: Emulated, a machine takes 20 s to its SSH server.
BOOT_SECONDS = 90.0


class VmLab(NspawnLab):
    """Asked over SSH, because it shares nothing with this machine."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.at = self.address(NAME)  #: where the machine is now, whatever the plan says

    def inside(self, machine: str, argv: Sequence[str], *, seconds: float = 60) -> Ran:
        known = ("-o", "UserKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=no")
        options = ("-q", "-o", "ConnectTimeout=30", "-o", "BatchMode=yes", *known)
        way = ["ssh", "-i", str(self.ssh_key), *options, f"root@{self.at}"]
        return LocalHost().run([*self.prefix(), *way, shlex.join(argv)], seconds=seconds)

    def configure_agent(
        self, machine: str, environment: Mapping[str, str], files: Mapping[str, str]
    ) -> None:
        super().configure_agent(machine, environment, files)
        folder = self.kept(machine)
        script = f"umask 077; mkdir -p {PLACES.kept}"
        for each in ("agent.env", *files):
            text = shlex.quote((folder / each).read_text())
            script += f"; printf %s {text} > {PLACES.kept}/{each}"
        assert self.inside(machine, ["sh", "-c", script]).ok


class Site:
    """The machine, what it runs on, and the operator."""

    def __init__(self, lab: VmLab, hypervisor: Hypervisor, place: Path) -> None:
        self.lab, self.hypervisor, self.place = lab, hypervisor, place
        self.kernel = image.kernel(print)
        image.new_disk(place / "disk.qcow2", image.disk(rootfs.ensure(print), print))
        image.lay(self.kernel / "first", _laid(lab), place / "first")
        self.theatre = Theatre(lab, place / "home", self._fleet())

    def define(self, clock: int) -> None:
        """`clock` is how many seconds its own clock is ahead when its power is switched on."""
        self.hypervisor.define(
            VM,
            (self.kernel / "kernel", self.place / "first", self.place / "disk.qcow2"),
            memory=640,
            clock=clock,
            bridge=str(self.lab.plan["namespace"]),
        )

    def wait_booted(self) -> None:
        wait_for("its SSH server", lambda: self.inside("true").ok, seconds=BOOT_SECONDS, pause=1)

    def inside(self, *argv: str) -> Ran:
        return self.lab.inside(NAME, argv)

    def ahead(self) -> float:
        """The machine's clock against ours."""
        said = self.inside("date", "+%s.%N")
        assert said.ok, said.complaint
        return float(said.out) - time.time()

    def serves(self) -> bool:
        return self.inside("systemctl", "is-active", UNIT).out.strip() == "active"

    def change_fleet(self, section: str, name: str, value: Any) -> None:
        """As an operator edits the file; it counts from the next `up` on."""
        file = self.theatre.home / "fleet.yaml"
        content = yaml.safe_load(file.read_text())
        content[section][name] = value
        file.write_text(yaml.safe_dump(content, sort_keys=False))

    def _fleet(self) -> dict[str, Any]:
        fleet = fitted(self.lab)
        fleet["hypervisors"] = {"lab": {"driver": "libvirt", "at": self.hypervisor.at}}
        return {
            **fleet,
            "machines": {name: fleet["machines"][name] for name in ("control", NAME)},
            "services": {"redis": fleet["services"]["redis"]},
            "backups": {},
            "thresholds": {},
            "watch": {"interval": "2 s", "timeout": "5 s", "bad": 2, "of": 3, "good": 2},
            "recovery": {"attempts": 9, "settle": "5 s", "backoff": "1 s", "clock": "never"},
        }


def said(run: Mapping[str, Any], kind: str) -> str:
    return "\n".join(each["text"] for each in run["timeline"] if each["kind"] == kind)


def _laid(lab: VmLab) -> dict[str, Path | str]:
    """What makes it a machine of this fleet; its Redis listens at whatever address it has."""
    laid = lab.home / "laid" / NAME
    conf = laid / "redis-stack.conf"
    listens = f"bind {lab.at} {PLACES.also_listen}"
    assert listens in conf.read_text()
    conf.write_text(conf.read_text().replace(listens, "bind * -::*"))
    keys = "L+ /run/lab-ssh - - - - /etc/lab-ssh\n"
    return {
        image.ADDRESS: f"{lab.at}/24\n",
        "/etc/hostname": f"{NAME}\n",
        "/etc/tmpfiles.d/lab.conf": TMPFILES.format(name=NAME) + keys,
        "/etc/lab-ssh": lab.home / "keys" / "machine",
        "/usr/local/lib/systemd/system": laid / "units",
        PLACES.conf: laid,
        PLACES.standins + "/standins": HERE / "standins",
        PLACES.source + "/tasks": CHECKOUT / "tasks",
        PLACES.source + "/workers": CHECKOUT / "workers",
    }


@contextmanager
def vm_site(place: Path) -> Iterator[Site]:
    """The machine is off, and nothing of ours runs."""
    if reason := labs.why_not("nspawn") or why_not():
        pytest.skip(f"no virtual machines here: {reason}")
    lab = labs.prepare("nspawn", place / "lab", AUTOBOT[:1])
    try:
        books = place / "home" / "runbooks"
        books.mkdir(parents=True)
        # The other services are not in this fleet, nor are their runbooks.
        shutil.copy(SHIPPED / "runbooks" / "redis.yaml", books)
        with running_hypervisor(lab.prefix(), place / "hypervisor") as hypervisor:
            yield Site(VmLab(lab.home), hypervisor, place)
    finally:
        lab.down()
