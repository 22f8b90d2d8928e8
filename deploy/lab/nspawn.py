"""Powers one machine of an nspawn lab: `python -m deploy.lab.nspawn HOME start NAME`.

What lives here: what is particular to systemd-nspawn. What must not: what a machine
consists of; `nspawn_lab` wrote its command line into HOME/lab.json.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from deploy.lab.powering import CannotPower, Machine, main

#: Where a process can be put so that two machines never share a control group: their
#: systemds would see each other's services as leftovers of their own.
HIERARCHIES = tuple(
    Path(each) for each in ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup")
)


class NspawnMachine(Machine):
    """A systemd-nspawn process, its leader, its control groups and its cable."""

    shutdown = signal.SIGRTMIN + 4

    def leader(self) -> int:
        """The child of nspawn that has become systemd; before, it is nspawn setting up."""
        pid = self.pid()
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split() if pid else []
            for child in children:
                if os.path.basename(os.readlink(f"/proc/{child}/exe")) == "systemd":
                    return int(child)
        except (FileNotFoundError, ProcessLookupError):
            return 0
        return 0

    def processes(self) -> list[int]:
        return [each for each in (self.pid(), self.leader()) if each]

    def spawn(self, console: Path) -> subprocess.Popen[bytes]:
        groups = self.groups()
        for group in groups:
            group.mkdir(exist_ok=True)

        def join() -> None:
            for group in groups:
                (group / "cgroup.procs").write_text("0")

        with console.open("wb") as output:
            return subprocess.Popen(
                self.plan["argv"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=join,
            )

    def link(self, state: str) -> None:
        if state == "up" and (self.folder / f"{self.name}.cut").exists():
            return
        link = ["ip", "-n", self.lab["namespace"], "link", "set", self.plan["link"], state]
        done = subprocess.run(link, capture_output=True, text=True, check=False, timeout=10)
        if done.returncode != 0:
            raise CannotPower(f"{self.name}: its link: {done.stderr.strip()}")

    def groups(self) -> list[Path]:
        found = [each for each in HIERARCHIES if (each / "cgroup.procs").exists()]
        return [each / self.plan["label"] for each in found]

    def left(self) -> list[int] | None:
        """What is in the machine's control groups, which are removed once they are empty."""
        if not any(top.exists() for top in self.groups()):
            return None
        pids: set[int] = set()
        for top in self.groups():
            for folder, _, _ in os.walk(top, topdown=False):
                try:
                    pids.update(map(int, (Path(folder) / "cgroup.procs").read_text().split()))
                    os.rmdir(folder)
                except OSError:  # not empty yet; its processes are in the list
                    continue
        # 0 stands for a process of a PID namespace that is not ours to see.
        return [each for each in pids if each]


if __name__ == "__main__":
    sys.exit(main(NspawnMachine, sys.argv[1:]))
