"""A libvirt of the tests' own, with QEMU, in a lab's network; and the machines on it.

What lives here: running the daemon, defining machines, and what an administrator does to them.
What must not: what they boot from (image.py), and the driver under test. The daemon's folders
are those of every libvirt, so it runs where other folders are mounted over them. QEMU emulates:
an accelerator is not everywhere, and nothing here is about speed.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from tests.contracts.libvirtd import command
from tests.integration.rig import wait_for

PROGRAMS = {
    "libvirtd": "libvirt-daemon",
    "virsh": "libvirt-clients",
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
}
DRIVER = Path("/usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_qemu.so")
#: Its driver wants one of that name, whatever it is told to use.
USER = "libvirt-qemu"
#: libvirt's own folders, which nothing can move.
FOLDERS = (
    "/etc/libvirt",
    "/run/libvirt",
    "/var/cache/libvirt",
    "/var/lib/libvirt",
    "/var/log/libvirt",
)
DAEMON = """unix_sock_dir = "{folder}"
auth_unix_ro = "none"
auth_unix_rw = "none"
log_outputs = "3:file:{folder}/libvirtd.log"
"""
#: Whatever would guard this machine from its guests needs users and control groups of its own.
QEMU = """user = "root"
group = "root"
security_driver = "none"
remember_owner = 0
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
"""
DOMAIN = """<domain type='qemu'>
 <name>{name}</name><memory unit='MiB'>{memory}</memory><vcpu>2</vcpu>
 <os><type arch='x86_64' machine='pc'>hvm</type><kernel>{kernel}</kernel><initrd>{first}</initrd>
  <cmdline>console=ttyS0 quiet rw mitigations=off unknown_nmi_panic {word}</cmdline></os>
 <features><acpi/></features><cpu mode='maximum'/>
 <clock offset='variable' adjustment='{clock}' basis='utc'/>
 <devices>
  <disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='unsafe'/>
   <source file='{disk}'/><target dev='vda' bus='virtio'/></disk>
  {cable}
  <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
  <serial type='file'><source path='{console}'/></serial>
 </devices>
</domain>"""
CABLE = """<interface type='bridge'><source bridge='{bridge}'/><target dev='{bridge}-v'/>
   <mac address='52:54:00:00:00:17'/><model type='virtio'/></interface>"""


def why_not() -> str:
    """Why there can be no such hypervisor here, or an empty text."""
    missing = [package for program, package in PROGRAMS.items() if not shutil.which(program)]
    if not DRIVER.exists():
        missing.append("libvirt-daemon-driver-qemu")
    if missing:
        return f"a libvirt with QEMU needs {' '.join(missing)} (deploy/lab/prepare.sh vm)"
    return "" if Path("/dev/net/tun").exists() else "there is no /dev/net/tun for its cable"


@dataclass(frozen=True, slots=True)
class Hypervisor:
    """Asked past the product, as an administrator does."""

    at: str
    folder: Path

    def virsh(self, *words: str) -> str:
        return command("virsh", "--quiet", "--connect", self.at, *words)

    def state(self, vm: str) -> str:
        return self.virsh("domstate", vm).strip()

    def define(
        self,
        name: str,
        boots: tuple[Path, Path, Path],
        *,
        memory: int,
        clock: int = 0,
        bridge: str = "",
    ) -> None:
        """Anew, or changed; it counts from the machine's next start on.

        `boots` are its kernel, its first file system and its disk; `clock` is how many seconds its
        own clock is ahead when its power is switched on. Without a bridge it is a small machine.
        """
        kernel, first, disk = boots
        cable = CABLE.format(bridge=bridge) if bridge else ""
        text = DOMAIN.format(
            name=escape(name),
            memory=memory,
            word="" if bridge else "small",
            kernel=kernel,
            first=first,
            disk=disk,
            console=self.console(name),
            clock=clock,
            cable=cable,
        )
        file = self.folder / "domain.xml"
        file.write_text(text)
        self.virsh("define", str(file))

    def console(self, vm: str) -> Path:
        """What it said since its power was switched on."""
        return self.folder / f"{vm}.console"

    def starts(self, vm: str) -> int:
        """How often its power was switched on: QEMU's own log has a line for each."""
        log = self.folder / "var-log-libvirt" / "qemu" / f"{vm}.log"
        return log.read_text().count(": starting up")


@contextmanager
def running_hypervisor(prefix: Sequence[str], folder: Path) -> Iterator[Hypervisor]:
    """In the network that `prefix` enters. All its machines end with it."""
    mounts = []
    for each in FOLDERS:
        own = folder / each.strip("/").replace("/", "-")
        own.mkdir(parents=True)
        Path(each).mkdir(parents=True, exist_ok=True)
        mounts.append(f"mount --bind {shlex.quote(str(own))} {each}")
    for name, line in {"passwd": "x:64055:64055::/:/bin/false", "group": "x:64055:"}.items():
        (folder / name).write_text(f"{Path('/etc', name).read_text()}{USER}:{line}\n")
        mounts.append(f"mount --bind {shlex.quote(str(folder / name))} /etc/{name}")
    (folder / "etc-libvirt" / "qemu.conf").write_text(QEMU)
    only = folder / "drivers"
    only.mkdir()
    (only / DRIVER.name).symlink_to(DRIVER)
    settings = folder / "libvirtd.conf"
    settings.write_text(DAEMON.format(folder=folder))
    argv = ["libvirtd", "--config", str(settings), "--pid-file", str(folder / "pid")]
    script = " && ".join([*mounts, f"exec {shlex.join(argv)}"])
    private = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
    with (folder / "daemon.out").open("wb") as out:
        daemon = subprocess.Popen(
            [*prefix, *private],
            env={**os.environ, "LIBVIRT_DRIVER_DIR": str(only)},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    socket = folder / "libvirt-sock"
    made = Hypervisor(f"qemu+unix:///system?socket={socket}", folder)
    try:
        wait_for("libvirt's socket", socket.exists, seconds=20)
        try:
            yield made
        finally:
            for vm in made.virsh("list", "--name").split():
                made.virsh("destroy", vm)
    finally:
        daemon.terminate()
        daemon.wait(20)
