"""What a virtual machine of the tests boots from: Debian's kernel, a first file system, a disk.

What lives here: making them, once, into the lab's cache; the disk out of its root file system. What
must not: running anything (hypervisor.py). Debian's cloud kernel has its drivers as modules, which
the first file system loads; it also lays the lab's own files over a new disk. With `small` in the
kernel's command line it is all there is, and waits for the power button.
"""

from __future__ import annotations

import json
import re
import shutil
import stat
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from deploy.lab import LabFault
from deploy.lab.rootfs import Built, CannotBuild, Tell, cached

KERNEL, SHELL = "linux-image-cloud-amd64", "busybox-static"
MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "virtio-rng", "button", "evdev")
#: As an administrator would find it: the address is a file, and counts from the next boot on.
ADDRESS = "/etc/lab-address"
NETWORK_UNIT = f"""[Unit]
Description=The address in {ADDRESS}
DefaultDependencies=no
Before=network.target sshd.service ssh.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'ip link set lo up; ip link set eth0 up; ip addr add $(cat {ADDRESS}) dev eth0'
[Install]
WantedBy=multi-user.target
"""
#: In place of logind, which wants a udev to tell it of the button.
BUTTON_UNIT = """[Unit]
Description=The power button
[Service]
ExecStart=/bin/sh -c 'for e in /dev/input/event*; do head -c 24 $e && poweroff & done; wait'
StandardOutput=null
[Install]
WantedBy=multi-user.target
"""
UNITS = {"lab-network.service": NETWORK_UNIT, "lab-power-button.service": BUTTON_UNIT}
UP = "the small machine is up"
FIRST = f"""#!/bin/busybox sh
export PATH=/bin
busybox mount -t proc none /proc
busybox --install -s /bin
mount -t devtmpfs none /dev
for module in $(cat /modules); do insmod /lib/$module; done
until [ -b /dev/vda ]; do sleep 0.1; done
if grep -qw small /proc/cmdline; then
    until [ -e /dev/input/event0 ]; do sleep 0.1; done
    echo {UP} > /dev/ttyS0
    for each in /dev/input/event*; do (head -c 24 $each > /dev/null; poweroff -f) & done
    wait
fi
mount -t ext4 /dev/vda /root
[ -e /root/etc/lab-laid ] || {{ cp -a /laid/. /root/ && touch /root/etc/lab-laid; }}
umount /proc
exec switch_root /root /sbin/init
"""
#: Nothing of the tests needs a browser, and it is half of the root file system.
LEFT_OUT = ("usr/lib/chromium", "usr/share/fonts", "usr/share/doc", "usr/share/locale")
DISK_MB = 1536


def kernel(tell: Tell) -> Path:
    """The folder with `kernel` and `first`, built if need be."""
    return cached("vm-kernel", json.dumps([FIRST, MODULES]), _kernel, tell)


def disk(built: Built, tell: Tell) -> Path:
    """A whole machine's disk, which others are laid over, built if need be."""

    def build(aside: Path, tell: Tell) -> None:
        tell("building the virtual machines' disk (once, half a minute)")
        aside.mkdir()
        _disk(built, aside)

    what = [str(built.root), *sorted(map(str, built.packages)), UNITS, LEFT_OUT, DISK_MB]
    return cached("vm-disk", json.dumps(what), build, tell) / "disk"


def _kernel(aside: Path, tell: Tell) -> None:
    tell(f"fetching {KERNEL} and {SHELL} for the virtual machines")
    got = aside / "got"
    got.mkdir(parents=True)
    told = _run("apt-cache", "depends", "--no-recommends", KERNEL)
    names = [line.split()[-1] for line in told.splitlines() if "Depends: linux-image" in line]
    if len(names) != 1:
        raise CannotBuild(f"{KERNEL} is not known to apt-get here; apt-get update may help")
    _run("apt-get", "download", "-qq", names[0], SHELL, inside=got)
    for each in got.glob("*.deb"):
        _run("dpkg", "-x", str(each), str(got / "all"))
    (kernel,) = (got / "all" / "boot").glob("vmlinuz-*")
    shutil.copy(kernel, aside / "kernel")
    found = {each.stem: each for each in (got / "all" / "lib" / "modules").rglob("*.ko")}
    there = list(dict.fromkeys(each for name in MODULES for each in _needed(found, name)))
    files: dict[str, bytes] = {
        "init": FIRST.encode(),
        "bin/busybox": (got / "all" / "bin" / "busybox").read_bytes(),
        "modules": "\n".join(f"{name}.ko" for name in there).encode(),
        **{f"lib/{name}.ko": found[name].read_bytes() for name in there},
    }
    folders = ("bin", "lib", "proc", "dev", "root", "laid")
    entries = [(each, stat.S_IFDIR | 0o755, b"") for each in folders]
    entries += [(name, stat.S_IFREG | 0o755, data) for name, data in files.items()]
    (aside / "first").write_bytes(archive(entries))
    shutil.rmtree(got)


def _needed(found: Mapping[str, Path], name: str) -> list[str]:
    """The module behind all that it needs, as it says itself."""
    told = re.search(rb"depends=([^\0]*)\0", found[name].read_bytes())
    names = told[1].decode().split(",") if told and told[1] else []
    before = [each for other in names for each in _needed(found, _file(found, other))]
    return [*before, name]


def _file(found: Mapping[str, Path], name: str) -> str:
    """A module is named with _, its file perhaps with -."""
    return name if name in found else name.replace("_", "-")


def _disk(built: Built, aside: Path) -> None:
    """Of hard links to the root, so that it takes neither room nor time to change a few."""
    tree = aside / "tree"
    _run("cp", "-al", str(built.root), str(tree))
    for each in LEFT_OUT:
        shutil.rmtree(tree / each, ignore_errors=True)
    for here, there in built.packages.items():
        if there.startswith("/opt/autobot-dr"):
            Path(f"{tree}{there}").parent.mkdir(parents=True)
            _run("cp", "-a", "--", str(here), f"{tree}{there}")
    system = tree / "etc/systemd/system"
    for name, text in UNITS.items():
        (system / name).write_text(text)
        (system / "multi-user.target.wants" / name).symlink_to(f"../{name}")
    size = f"{DISK_MB}M"
    _run("mke2fs", "-q", "-t", "ext4", "-d", str(tree), str(aside / "disk"), size)
    shutil.rmtree(tree)


def lay(base: Path, files: Mapping[str, Path | str], to: Path) -> None:
    """`base`, the first file system, with what it lays over a new disk: texts, files, folders."""
    entries: list[tuple[str, int, bytes]] = []
    for there, what in files.items():
        if isinstance(what, str):
            entries.append((there, stat.S_IFREG | 0o644, what.encode()))
            continue
        for each in (what, *sorted(what.rglob("*"))) if what.is_dir() else (what,):
            if "__pycache__" not in each.parts:
                name = f"{there}/{each.relative_to(what)}".removesuffix("/.")
                data = each.read_bytes() if each.is_file() else b""
                entries.append((name, each.stat().st_mode, data))
    laid = [(f"laid{name}", mode, data) for name, mode, data in _with_parents(entries)]
    to.write_bytes(base.read_bytes() + archive(laid))


def _with_parents(entries: Iterable[tuple[str, int, bytes]]) -> Iterable[tuple[str, int, bytes]]:
    made = {"/"}
    for name, mode, data in entries:
        for parent in reversed(Path(name).parents):
            if str(parent) not in made:
                made.add(str(parent))
                yield str(parent), stat.S_IFDIR | 0o755, b""
        if name not in made:
            made.add(name)
            yield name, mode, data


def archive(entries: Iterable[tuple[str, int, bytes]]) -> bytes:
    """What the kernel unpacks: cpio in its newc form, everything root's."""
    out = bytearray()
    for number, (name, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        path = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0)
        out += b"070701" + b"".join(b"%08X" % each for each in fields) + path
        out += b"\0" * (-len(out) % 4) + data
        out += b"\0" * (-len(out) % 4)
    return bytes(out)


def new_disk(to: Path, base: Path | None = None) -> None:
    """An image of its own, above a shared one or empty."""
    what = ("-b", str(base), "-F", "raw", str(to)) if base else (str(to), "8M")
    _run("qemu-img", "create", "-q", "-f", "qcow2", *what)


def _run(*argv: str, inside: Path | None = None) -> str:
    ran = subprocess.run(argv, cwd=inside, capture_output=True, text=True, check=False, timeout=300)
    if ran.returncode:
        raise LabFault(f"{' '.join(argv[:3])}: {ran.stderr.strip()}")
    return ran.stdout
