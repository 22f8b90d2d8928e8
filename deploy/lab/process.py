"""Powers one machine of a process lab: `python -m deploy.lab.process HOME start NAME`.

What lives here: what is particular to machines that are a supervisor and its children. What
must not: what runs on them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from deploy.lab.powering import Machine, main

MARK = "AUTOBOT_DR_LAB_MACHINE"
DOOR_PORT = 2222  #: answers in place of an sshd, whose own port is not for ordinary users


def pids_of(supervisor: int, label: str) -> list[int]:
    """The machine's processes besides its supervisor.

    By descent, because a server that renames itself loses its environment; and by the label,
    because a process may have lost its parent.
    """
    return sorted({*_descendants(supervisor), *_labelled(label)} - {supervisor})


def _descendants(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [each for child in children for each in (int(child), *_descendants(int(child)))]


def _labelled(label: str) -> list[int]:
    wanted = f"{MARK}={label}".encode()
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                if wanted in Path(entry.path, "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:  # it has ended, or belongs to somebody else
                continue
    return found


class ProcessMachine(Machine):
    """A supervisor; it is its own leader once its control socket is there."""

    def leader(self) -> int:
        return self.pid() if (self.folder / f"{self.name}.sock").exists() else 0

    def spawn(self, console: Path) -> subprocess.Popen[bytes]:
        (self.folder / f"{self.name}.sock").unlink(missing_ok=True)
        with console.open("wb") as output:
            return subprocess.Popen(
                self.plan["argv"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def link(self, state: str) -> None:
        """There is no cable; `process_lab` freezes the machine instead."""

    def processes(self) -> list[int]:
        """The supervisor first, because it would start its agent again."""
        pid = self.pid()
        return [pid, *self.pids()] if pid else self.pids()

    def pids(self) -> list[int]:
        return pids_of(self.pid(), self.plan["label"])

    def left(self) -> list[int] | None:
        return self.pids() or None


if __name__ == "__main__":
    sys.exit(main(ProcessMachine, sys.argv[1:]))
