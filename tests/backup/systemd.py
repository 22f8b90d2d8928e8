"""A unit around a real Redis server, by a stand-in for systemctl (bin/systemctl)."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.backup.rig import Redis

BIN = Path(__file__).parent / "bin"
UNIT = "redis-of-the-test"


@contextmanager
def fake_systemd(place: Path, server: Redis, *, exec_start: str = "") -> Iterator[str]:
    """The server belongs to a unit now; its name. What was started is ended with the block."""
    unit = place / "unit"
    unit.mkdir()
    argv = server.process.argv
    line = exec_start or shlex.join([f"/usr/bin/{argv[0]}", *argv[1:]])
    shown = {"ExecStart": f"{{ path=/usr/bin/redis-server ; argv[]={line} ; ignore_errors=no ; }}"}
    (unit / "show").write_text(json.dumps(shown))
    (unit / "argv").write_text(json.dumps(argv))
    (unit / "pid").write_text(str(server.process.child.pid))
    (unit / "invocation").write_text("first")
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
        pid = int((unit / "pid").read_text())
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def orders(place: Path) -> list[str]:
    """What systemctl was told to do, but for questions."""
    return (place / "unit" / "orders").read_text().split()
