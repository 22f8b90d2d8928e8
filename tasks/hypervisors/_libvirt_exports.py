"""Exports of a libvirt machine: a folder with its definition and whole copies of its disks.

What lives here: writing one on the hypervisor's own machine, by qemu-img, and reading it back.
What must not: snapshots (libvirt.py). A disk is read out of the snapshot inside its image, which
stays as it is while the machine runs on; so the copy is of one moment, whatever it takes.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from tasks.hypervisors import Export
from tasks.hypervisors._virsh import Virsh

DEFINITION = "domain.xml"
PARTIAL = ".partial"


class Exports:
    """Those of one machine below the folder `to`."""

    def __init__(self, virsh: Virsh, vm: str, to: str) -> None:
        self._virsh = virsh
        self._vm = vm
        self._folder = f"{to.rstrip('/')}/{vm}"
        if not to.startswith("/"):
            raise virsh.fault(f"{to!r} is no absolute path on the hypervisor")

    def write(self, uuid: str, name: str) -> Export:
        """Beside its place, and moved there once qemu-img has found every copy sound."""
        if any(each.name == name for each in self.whole()):
            raise self._virsh.fault(f"{self._folder}/{name} exists already")
        part = f"{self._folder}/{name}{PARTIAL}"
        self._do("mkdir", "-p", "--", self._folder)
        # What exports left that were killed, whatever their names.
        parts = ("-maxdepth", "1", "-type", "d", "-name", f"*{PARTIAL}")
        self._do("find", self._folder, *parts, "-exec", "rm", "-rf", "--", "{}", "+")
        # Whoever may read it has the whole machine.
        self._do("mkdir", "-m", "700", "--", part)
        words = ("--domain", uuid, f"--snapshotname={name}", "--security-info")
        told = self._virsh.say("snapshot-dumpxml", *words)
        self._virsh.host.write(f"{part}/{DEFINITION}", told.encode(), mode=0o600)
        for target, source in self._disks(told):
            copy = f"{part}/{target}.qcow2"
            # The image is locked by the machine that runs on it, hence -U.
            frozen = ("-U", "-f", "qcow2", "-l", f"snapshot.name={name}")
            self._do("qemu-img", "convert", *frozen, "-O", "qcow2", source, copy)
            self._do("qemu-img", "check", "-q", copy)
        self._do("sync", "--file-system", part)
        self._do("mv", "-T", "--", part, f"{self._folder}/{name}")
        return next(each for each in self.whole() if each.name == name)

    def whole(self) -> tuple[Export, ...]:
        """In the order of their names."""
        ran = self._virsh.run(
            *("find", self._folder, "-mindepth", "2", "-type", "f", "-printf", r"%s %P\0")
        )
        if not ran.ok:
            if "No such file" in ran.err:
                return ()
            raise self._virsh.fault(f"{self._folder} cannot be read: {ran.complaint}")
        found: dict[str, list[int]] = {}
        for each in ran.out.split("\0"):
            size, _, path = each.partition(" ")
            if path and not path.partition("/")[0].endswith(PARTIAL):
                found.setdefault(path.partition("/")[0], []).append(int(size))
        return tuple(Export(name, sum(found[name]), len(found[name])) for name in sorted(found))

    def remove(self, name: str) -> None:
        if all(each.name != name for each in self.whole()):
            there = ", ".join(each.name for each in self.whole()) or "none"
            raise self._virsh.fault(f"{self._folder} has no export {name!r} (there are: {there})")
        gone = f"{self._folder}/{name}{PARTIAL}"
        self._do("mv", "-T", "--", f"{self._folder}/{name}", gone)
        self._do("rm", "-rf", "--", gone)

    def _disks(self, told: str) -> list[tuple[str, str]]:
        """Each disk by its name in the machine, with the image that it is in."""
        root = ET.fromstring(told)  # noqa: S314 (the hypervisor's own)
        inside = {e.get("name"): e.get("snapshot") for e in root.findall("disks/disk")}
        found = []
        for disk in root.findall("domain/devices/disk"):
            if disk.get("device", "disk") != "disk" or disk.find("readonly") is not None:
                continue
            at, on = disk.find("target"), disk.find("source")
            target = "" if at is None else at.get("dev", "")
            image = "" if on is None else on.get("file") or on.get("dev") or ""
            form = disk.find("driver")
            if not image or form is None or form.get("type") != "qcow2":
                raise self._virsh.fault(f"disk {target} of {self._vm} is not in a qcow2 image here")
            if inside.get(target, "internal") != "internal":
                raise self._virsh.fault(f"the snapshot of disk {target} is not inside its image")
            found.append((target, image))
        return found

    def _do(self, *argv: str) -> None:
        ran = self._virsh.run(*argv)
        if not ran.ok:
            what = " ".join(argv[:2]) if argv[0] == "qemu-img" else argv[0]
            raise self._virsh.fault(f"{what}: {ran.complaint}")
