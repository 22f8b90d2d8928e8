"""Exports of a Hyper-V machine: a folder with its configuration and merged disks.

What lives here: where one lies, what is believed of it, and how it is put there whole. What must
not: checkpoints (hyperv.py). Export-VMSnapshot is carried out by the host's own account; reading
it back by ours, which a share must let in too (docs/decisions/hyperv.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from tasks.hypervisors import Export, HypervisorFault
from tasks.hypervisors._hyperv_answers import property_of
from tasks.hypervisors._hyperv_faults import SaidNo
from tasks.hypervisors._hyperv_pool import Cmdlet
from tasks.hypervisors._hyperv_remote import Session

PARTIAL = ".partial"
NOT_THERE = ("PathNotFound", "ItemNotFound")
DISK = re.compile(r"\.a?vhdx?$", re.IGNORECASE)
CONFIGURATION = re.compile(r"\.(vmcx|xml)$", re.IGNORECASE)
PLACE = re.compile(r"[A-Za-z]:\\|\\\\[^\\]+\\[^\\]+")


class Exports:
    """Those of one machine below `to`, a folder of the host or a share."""

    def __init__(self, session: Session, place: str, vm: str, to: str) -> None:
        self._session = session
        self._place = place
        root = to.replace("/", "\\").rstrip("\\")
        self._folder = f"{root}\\{vm}"
        if not PLACE.match(f"{root}\\"):
            raise self._fault(f"{to!r} is no place for an export; name a share, as in //nas/vm")

    def write(self, vm: str, name: str) -> Export:
        """Beside its place, and named so only when the host found every disk sound."""
        if any(each.name == name for each in self.whole()):
            raise self._fault(f"{self._folder}\\{name} exists already")
        part = f"{self._folder}\\{name}{PARTIAL}"
        # What exports left that were killed, whatever their names.
        for each in {path[len(self._folder) + 1 :].partition("\\")[0] for path in self._all()}:
            if each.endswith(PARTIAL):
                self._delete(f"{self._folder}\\{each}")
        self._do("Export-VMSnapshot", VMName=vm, Name=name, Path=part)
        files = self._files(part)
        disks = [each for each in files if DISK.search(each)]
        if not any(CONFIGURATION.search(each) for each in files):
            raise self._fault(f"{part} has no configuration of a machine; the export is not whole")
        for each in disks:
            if self._do("Test-VHD", Path=each) != [True]:
                raise self._fault(f"{each} is no sound disk")
        self._do("Rename-Item", LiteralPath=part, NewName=name)
        return next(each for each in self.whole() if each.name == name)

    def whole(self) -> tuple[Export, ...]:
        """In the order of their names."""
        found: dict[str, list[int]] = {}
        for path, size in self._all().items():
            name, inside, _ = path[len(self._folder) + 1 :].partition("\\")
            if inside and not name.endswith(PARTIAL):
                found.setdefault(name, []).append(size)
        return tuple(Export(name, sum(found[name]), len(found[name])) for name in sorted(found))

    def remove(self, name: str) -> None:
        listed = [each.name for each in self.whole()]
        if name not in listed:
            there = ", ".join(listed) or "none"
            raise self._fault(f"{self._folder} has no export {name!r} (there are: {there})")
        part = f"{name}{PARTIAL}"
        self._do("Rename-Item", LiteralPath=f"{self._folder}\\{name}", NewName=part)
        self._delete(f"{self._folder}\\{part}")

    def _all(self) -> dict[str, int]:
        return self._files(self._folder)

    def _files(self, folder: str) -> dict[str, int]:
        """Every file below it, with its size; none of a folder that is not there."""
        try:
            listed = self._session.run(
                (
                    get("Get-ChildItem", LiteralPath=folder, Recurse=True, File=True),
                    Cmdlet("Select-Object", {"Property": ["FullName", "Length"]}),
                )
            )
        except SaidNo as error:
            if error.identity in NOT_THERE:
                return {}
            raise
        return {property_of(e, "FullName"): int(property_of(e, "Length")) for e in listed}

    def _delete(self, folder: str) -> None:
        try:
            self._do("Remove-Item", LiteralPath=folder, Recurse=True, Force=True)
        except SaidNo as error:
            if error.identity not in NOT_THERE:
                raise

    def _do(self, name: str, **given: Any) -> list[Any]:
        confirm: Iterable[tuple[str, Any]] = () if name == "Test-VHD" else (("Confirm", False),)
        return self._session.run((get(name, **given, **dict(confirm)),))

    def _fault(self, complaint: str) -> HypervisorFault:
        return HypervisorFault(f"{self._place}: {complaint}", retry=False)


def get(name: str, **given: Any) -> Cmdlet:
    return Cmdlet(name, {**given, "ErrorAction": "Stop"})
