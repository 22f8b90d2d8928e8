"""The files that the test's Hyper-V host reaches: its shares, which are folders of this machine.

What lives here: the cmdlets that are about files, and what Export-VMSnapshot writes. What must
not: machines (machines.py). The layout of an export is Windows's; a disk is a few bytes.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tests.hyperv.machines import CannotDo

DISK = b"vhdxfile" + b"\0" * 504


class Files:
    """`shares` names each by its root, as Windows writes it."""

    def __init__(self, unsound: set[str]) -> None:
        self.shares: dict[str, Path] = {}
        self._unsound = unsound

    def export(self, vm: str, path: str, ends: str) -> None:
        folder = self._here(path) / vm
        if folder.exists():
            raise CannotDo(f"The directory '{path}\\{vm}' already exists.", "OperationFailed")
        disks, machines = folder / "Virtual Hard Disks", folder / "Virtual Machines"
        disks.mkdir(parents=True)
        (disks / "disk.vhdx").write_bytes(DISK)
        if ends:
            raise CannotDo(ends, "OperationFailed")
        machines.mkdir()
        (machines / "5F0C29D1.vmcx").write_text(vm)

    def below(self, path: str) -> list[tuple[str, int]]:
        folder = self._there(path)
        files = sorted(each for each in folder.rglob("*") if each.is_file())
        return [
            (f"{path}\\{str(each.relative_to(folder)).replace('/', chr(92))}", each.stat().st_size)
            for each in files
        ]

    def test(self, path: str) -> list[Any]:
        sound = self._there(path).read_bytes() == DISK
        return [sound and path.rpartition("\\")[2] not in self._unsound]

    def rename(self, path: str, name: str) -> list[Any]:
        folder = self._there(path)
        folder.rename(folder.with_name(name))
        return []

    def remove(self, path: str) -> list[Any]:
        shutil.rmtree(self._there(path))
        return []

    def _there(self, path: str) -> Path:
        found = self._here(path)
        if not found.exists():
            raise CannotDo(f"Cannot find path '{path}' because it does not exist.", "PathNotFound")
        return found

    def _here(self, path: str) -> Path:
        for root, folder in self.shares.items():
            if path.casefold().startswith(root.casefold()):
                return folder / path[len(root) :].replace("\\", "/").strip("/")
        raise CannotDo(f"The network path '{path}' was not found.", "OperationFailed")
