"""What the machines of a lab are, and the files laid over each of them.

What lives here: definitions (AutoBot's six by default) and rendering of units and
configuration for either driver. What must not: starting anything.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

HERE = Path(__file__).resolve().parent
UNITS = HERE / "units"

#: The seed's network. The process driver keeps the last number of each address.
NETWORK = "172.16.168"
AGENT = "autobot-agent"


@dataclass(frozen=True, slots=True)
class MachineDefinition:
    """One machine. `units` name the files in units/ that it has, besides the agent's."""

    name: str
    address: str
    vm: str
    units: tuple[str, ...]
    #: Folders that survive a reboot, besides the agent's; the rest of the disk is new each time.
    keeps: tuple[str, ...] = ()
    #: For the machine's services (not its agent): ports, delays, models.
    environment: Mapping[str, str] = field(default_factory=dict)
    #: A stranger's machine: nothing of ours, no Python either, and these folders of this one.
    brings: Mapping[str, str] = field(default_factory=dict)

    @property
    def all_units(self) -> tuple[str, ...]:
        return (*self.units, AGENT)


AUTOBOT = (
    MachineDefinition(
        "redis",
        f"{NETWORK}.23",
        "AutoBot-Redis",
        ("redis-stack-server",),
        keeps=("/var/lib/redis-stack",),
    ),
    MachineDefinition("backend", f"{NETWORK}.20", "AutoBot-Backend", ("autobot-backend",)),
    MachineDefinition("frontend", f"{NETWORK}.21", "AutoBot-Frontend", ("autobot-frontend",)),
    MachineDefinition("npu", f"{NETWORK}.22", "AutoBot-NPU", ("npu-worker",)),
    MachineDefinition("ai", f"{NETWORK}.24", "AutoBot-AI", ("ollama",), keeps=("/var/lib/ollama",)),
    MachineDefinition("browser", f"{NETWORK}.25", "AutoBot-Browser", ("playwright-server",)),
)


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are for the machine's own processes; the drivers differ only in these."""

    python: str
    redis: str
    redis_type: str  #: the unit's Type=
    network: str
    also_listen: str  #: a second address for Redis, or empty
    source: str  #: the folder that holds tasks/ and workers/
    packages: str  #: further folder for Python packages, or empty
    standins: str  #: the folder that holds standins/
    kept: str  #: the agent's folder that survives a reboot
    conf: str  #: the folder that `lay` wrote
    redis_conf: str
    redis_data: str
    ollama_data: str
    logs: str

    def values(self, machine: MachineDefinition) -> dict[str, str]:
        named = {name: getattr(self, name) for name in self.__dataclass_fields__}
        number = machine.address.rpartition(".")[2]
        return {**named, "name": machine.name, "address": f"{self.network}.{number}"}


def lay(machine: MachineDefinition, places: Places, folder: Path) -> None:
    """Write the machine's unit files and configuration into `folder`, anew."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "units").mkdir(parents=True)
    values = places.values(machine)
    for unit in (AGENT, *machine.units):
        text = Template((UNITS / f"{unit}.service").read_text()).substitute(values)
        (folder / "units" / f"{unit}.service").write_text(text)
    for script in UNITS.glob("*.sh"):
        shutil.copy(script, folder)
    conf = Template((UNITS / "redis-stack.conf").read_text()).substitute(values)
    (folder / "redis-stack.conf").write_text(conf)
    write_environment(folder / "service.env", machine.environment)


def write_environment(path: Path, environment: Mapping[str, str]) -> None:
    """As systemd's EnvironmentFile reads it; quoted, so that a value stays one value."""
    lines = []
    for name, value in environment.items():
        if "\n" in value or not name.isidentifier():
            raise ValueError(f"{name}: an environment value is one line under a plain name")
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'{name}="{escaped}"\n')
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text("".join(lines))
