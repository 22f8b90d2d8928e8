"""A libvirt daemon of the tests' own, over libvirt's test driver.

What lives here: running it, defining machines on it, and what it saw happen to them. What must
not: the driver's contract (test_hypervisor.py). The test driver keeps its machines for as long
as somebody is connected, so whoever listens for events holds them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

PROGRAMS = {"libvirtd": "libvirt-daemon", "virsh": "libvirt-clients", "qemu-img": "qemu-utils"}
#: The daemon writes down an event for this one only after all that went before.
MARKER = "test"


@dataclass
class Libvirtd:
    at: str
    log: Path

    def virsh(self, *words: str) -> str:
        return command("virsh", "--quiet", "--connect", self.at, *words)

    def define(self, name: str, disk: Path | None = None) -> None:
        inside = (
            "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>"
            f"<source file='{disk}'/><target dev='vda'/></disk>"
        )
        file = self.log.with_name("domain.xml")
        file.write_text(
            f"<domain type='test'><name>{escape(name)}</name><memory unit='MiB'>64</memory>"
            "<os><type>hvm</type></os>"
            f"<devices>{inside if disk else ''}</devices></domain>"
        )
        self.virsh("define", str(file))

    def events(self) -> str:
        """Everything that has happened until now."""
        marks = self.log.read_text().count(f"'{MARKER}': Resumed")
        self.virsh("suspend", MARKER)
        self.virsh("resume", MARKER)
        wait_until(lambda: self.log.read_text().count(f"'{MARKER}': Resumed") > marks)
        return self.log.read_text()


def command(*argv: str) -> str:
    ran = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    assert ran.returncode == 0, f"{argv}: {ran.stderr}"
    return ran.stdout


def in_image(*words: str) -> None:
    command("qemu-img", *words)


def wait_until(true: object) -> None:
    ends = time.monotonic() + 10
    while not true():  # type: ignore[operator]
        assert time.monotonic() < ends
        time.sleep(0.01)


@contextmanager
def running_libvirtd(folder: Path) -> Iterator[Libvirtd]:
    missing = [package for program, package in PROGRAMS.items() if not shutil.which(program)]
    if missing:
        pytest.skip(f"the libvirt driver needs {', '.join(missing)}")
    settings = folder / "libvirtd.conf"
    settings.write_text(
        f'unix_sock_dir = "{folder}"\nauth_unix_ro = "none"\nauth_unix_rw = "none"\n'
        f'log_outputs = "3:file:{folder}/libvirtd.log"\n'
    )
    # Without its other drivers: QEMU's wants users and folders of its own on this machine.
    nothing = folder / "drivers"
    nothing.mkdir()
    daemon = subprocess.Popen(
        ["libvirtd", "--config", str(settings), "--pid-file", str(folder / "pid")],
        env={**os.environ, "LIBVIRT_DRIVER_DIR": str(nothing)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    socket = folder / "libvirt-sock"
    made = Libvirtd(f"test+unix:///default?socket={socket}", folder / "events")
    try:
        wait_until(socket.exists)
        argv = ["virsh", "--connect", made.at, "event", "--event", "lifecycle", "--loop"]
        with made.log.open("wb") as log:
            listener = subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_until(lambda: MARKER in made.virsh("list", "--name"))
            yield made
        finally:
            listener.terminate()
            listener.wait(10)
    finally:
        daemon.terminate()
        daemon.wait(10)
