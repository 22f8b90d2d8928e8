"""A unit around a real Redis server, by a stand-in for systemctl (bin/systemctl)."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.backup import fencing
from tests.backup.rig import Redis

BIN = Path(__file__).parent / "bin"
#: Of this process alone: its drop-in is written where systemd would look for it.
UNIT = f"redis-of-test-{os.getpid()}"


@contextmanager
def fake_systemd(place: Path, server: Redis, *, exec_start: str = "") -> Iterator[str]:
    """The server belongs to a unit now; its name. What was started is ended with the block."""
    unit = place / "unit"
    unit.mkdir()
    argv = server.process.argv
    line = exec_start or shlex.join([f"/usr/bin/{argv[0]}", *argv[1:]])
    (unit / "show").write_text(f"{shown(line)}\n")
    (unit / "name").write_text(f"{UNIT}\n")
    (unit / "command").write_text(f"{shlex.join(argv)}\n")
    (unit / "pid").write_text(f"{server.process.child.pid}\n")
    (unit / "invocation").write_text("first\n")
    (unit / "orders").touch()
    before = {name: os.environ.get(name) for name in ("PATH", "FAKE_UNIT")}
    os.environ["PATH"] = f"{BIN}:{os.environ['PATH']}"
    os.environ["FAKE_UNIT"] = str(unit)
    try:
        yield UNIT
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        shutil.rmtree(fencing.folder_of(UNIT), ignore_errors=True)
        pid = int((unit / "pid").read_text())
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def shown(line: str) -> str:
    """A command as `systemctl show` has it."""
    return f"ExecStart={{ path={line.split()[0]} ; argv[]={line} ; ignore_errors=no ; }}"


def orders(place: Path) -> list[str]:
    """What systemctl was told to do, but for questions."""
    return (place / "unit" / "orders").read_text().split()
