"""The Lab port: a practice fleet that can be powered, broken, mended and measured.

What lives here: what both drivers share, and choosing one. What must not: how a machine is
made; that is `nspawn_lab` and `process_lab`. A lab is a folder, its home: everything about
it is in there, so any later process can `find` it and go on.
"""

from __future__ import annotations

import abc
import importlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from deploy.lab import LabFault, faults, measure
from deploy.lab.kinds import Fault, Kind
from deploy.lab.machines import AUTOBOT, MachineDefinition, write_environment
from deploy.lab.powering import Machine
from tasks.host import LocalHost, Ran

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
FOLDERS = ("machines", "laid", "kept", "keys")


@dataclass(frozen=True, slots=True)
class MachineStatus:
    """One machine now. `units` is empty while it cannot be asked."""

    name: str
    address: str
    vm: str
    power: str
    cut: bool
    boots: int
    units: Mapping[str, str]


class Lab(abc.ABC):
    """A practice fleet at `home`. Made by `prepare`, found again by `find`."""

    driver: str
    #: What cannot be broken in such a lab, each with the reason.
    cannot: ClassVar[Mapping[Kind, str]] = {}

    def __init__(self, home: Path) -> None:
        self.home = home
        try:
            told = json.loads((home / "lab.json").read_text())
        except FileNotFoundError as error:
            raise LabFault(f"{home}: there is no lab here; `lab up` makes one") from error
        self.plan: dict[str, Any] = told
        self.machines: dict[str, MachineDefinition] = {
            name: _definition(each["definition"]) for name, each in told["machines"].items()
        }

    # What a driver supplies.

    @abc.abstractmethod
    def machine(self, name: str) -> Machine:
        """The machine's power, read from its files and /proc."""

    @abc.abstractmethod
    def prefix(self) -> list[str]:
        """Put before a command to run it where the fleet's addresses can be reached."""

    @abc.abstractmethod
    def inside(self, machine: str, argv: Sequence[str], *, seconds: float = 30) -> Ran:
        """Run a command on a machine, as its administrator would. LabFault if it is off."""

    @abc.abstractmethod
    def cut(self, machine: str) -> None:
        """Pull the network cable; it stays out over a reboot."""

    @abc.abstractmethod
    def join(self, machine: str) -> None:
        """Plug the cable in again."""

    @abc.abstractmethod
    def part(self, machine: str) -> None:
        """The coordinator and this machine no longer reach each other; all others still do."""

    @abc.abstractmethod
    def unite(self, machine: str) -> None:
        """The machine is on the coordinator's side again."""

    @abc.abstractmethod
    def coordinator_link(self, state: str) -> None:
        """The coordinator's own cable, `up` or `down`; it still reaches itself."""

    @abc.abstractmethod
    def near(self, machine: str) -> list[str]:
        """Put before a command to run it with the machine's own network, cut or not."""

    @abc.abstractmethod
    def clear(self) -> None:
        """Remove what the driver made outside the home."""

    # What they share.

    @property
    def coordinator_address(self) -> str:
        """Where the coordinator and the broker listen so that the machines reach them."""
        return f"{self.plan['network']}.1"

    @property
    def ssh_key(self) -> Path:
        """Opens root's and autobot's account on every machine; known_hosts lies beside it."""
        return self.home / "keys" / "ssh"

    def address(self, machine: str) -> str:
        return str(self._of(machine)["address"])

    def kept(self, machine: str) -> Path:
        """The agent's folder on that machine, seen from here; it survives a reboot."""
        return self.home / "kept" / machine / "autobot-dr"

    def path_inside(self, machine: str, name: str) -> str:
        """The path that the agent on the machine must use for a file beside its agent.env."""
        return str(Path(self._of(machine)["kept_inside"]) / name)

    def configure_agent(
        self, machine: str, environment: Mapping[str, str], files: Mapping[str, str]
    ) -> None:
        """Write agent.env and files beside it. A running agent has to be restarted to see it."""
        folder = self.kept(machine)
        for name, text in files.items():
            path = folder / name
            path.touch(mode=0o600)
            path.chmod(0o600)
            path.write_text(text)
        write_environment(folder / "agent.env", environment)

    def power(self, verb: str, machine: str) -> None:
        """`start`, `stop` or `kill` one machine, by the same program as the hypervisor driver."""
        self._of(machine)
        done = LocalHost().run([*self.plan["power"], verb, machine], seconds=90)
        if not done.ok:
            raise LabFault(f"{verb} {machine}: {done.complaint}")

    def power_all(self, verb: str, machines: Sequence[str] = ()) -> None:
        """The same for several at once; without names, for all."""
        names = list(machines) or list(self.machines)
        with ThreadPoolExecutor(max_workers=len(names)) as pool:
            for each in [pool.submit(self.power, verb, name) for name in names]:
                each.result()

    def wait_booted(self, machines: Sequence[str] = (), *, seconds: float = 60) -> None:
        """Until each machine's systemd says that it is up, with or without failed units."""
        ends = time.monotonic() + seconds
        for name in list(machines) or list(self.machines):
            said = ""
            while said not in ("running", "degraded"):
                if time.monotonic() > ends:
                    raise LabFault(f"{name}: not booted after {seconds:.0f} s: {said or 'silent'}")
                time.sleep(0.05)
                said = self.inside(name, ["systemctl", "is-system-running"]).out.strip()

    def power_of(self, machine: str) -> str:
        """running, off, starting or stopping."""
        return self.machine(machine).power()

    def status(self) -> list[MachineStatus]:
        return [self._status(name) for name in self.machines]

    def boot_times(self) -> list[measure.BootTime]:
        """What each machine that is on needed for its last boot, by its own systemd's clock."""
        return measure.boot_times(self)

    def break_(self, kind: str, target: str = "", *, seconds: float | None = None) -> list[Fault]:
        """Break a machine, a service or the network; the kinds and targets are in `faults`."""
        return faults.break_(self, kind, target, seconds)

    def mend(self, target: str = "") -> list[Fault]:
        """Undo what was broken, everywhere or at one target."""
        return faults.mend(self, target)

    def down(self) -> None:
        """Remove the lab, also one that a killed run left half made."""
        self.clear()
        for name in FOLDERS:
            shutil.rmtree(self.home / name, ignore_errors=True)
        for name in ("faults.json", "lab.json"):
            (self.home / name).unlink(missing_ok=True)

    def _of(self, machine: str) -> dict[str, Any]:
        if machine not in self.machines:
            raise LabFault(f"{machine}: not a machine of this lab ({', '.join(self.machines)})")
        return dict(self.plan["machines"][machine])

    def _status(self, machine: str) -> MachineStatus:
        power = self.power_of(machine)
        units: dict[str, str] = {}
        definition = self.machines[machine]
        if power == "running":
            said = self.inside(machine, ["systemctl", "is-active", "--", *definition.all_units])
            units = dict(zip(definition.all_units, said.out.split(), strict=False))
        return MachineStatus(
            name=machine,
            address=self.address(machine),
            vm=definition.vm,
            power=power,
            cut=(self.home / "machines" / f"{machine}.cut").exists(),
            boots=int(self.machine(machine).told()["boots"]),
            units=units,
        )


def default_home() -> Path:
    """One lab without a name of its own; root's outlives the session's temporary files."""
    if os.geteuid() == 0:
        return Path("/run/autobot-dr-lab/default")
    return Path(tempfile.gettempdir()) / f"autobot-dr-lab-{os.geteuid()}" / "default"


def drivers() -> list[str]:
    return sorted(each.name.removesuffix("_lab.py") for each in HERE.glob("*_lab.py"))


def _driver(name: str) -> Any:
    if name not in drivers():
        raise LabFault(f"{name}: no such lab driver (known: {', '.join(drivers())})")
    return importlib.import_module(f"deploy.lab.{name}_lab")


def why_not(driver: str) -> str:
    """Why this driver cannot be used on this machine, or an empty text."""
    return str(_driver(driver).why_not())


def prepare(
    driver: str,
    home: Path | None = None,
    machines: Sequence[MachineDefinition] = AUTOBOT,
    *,
    tell: Any = print,
) -> Lab:
    """Make a lab with all its machines off. What an earlier run left at `home` is removed."""
    made = _driver(driver)
    if reason := made.why_not():
        raise LabFault(f"the {driver} lab cannot be used here: {reason}")
    home = (home or default_home()).resolve()
    home.mkdir(parents=True, exist_ok=True, mode=0o700)  # it holds keys
    if (home / "lab.json").exists():
        find(home).down()
    for name in FOLDERS:
        shutil.rmtree(home / name, ignore_errors=True)
        (home / name).mkdir()
    lab: Lab = made.make(home, tuple(machines), tell)
    return lab


def find(home: Path | None = None) -> Lab:
    """The lab at `home`, whoever made it."""
    home = (home or default_home()).resolve()
    try:
        driver = json.loads((home / "lab.json").read_text())["driver"]
    except FileNotFoundError as error:
        raise LabFault(f"{home}: there is no lab here; `lab up` makes one") from error
    lab: Lab = _driver(driver).open(home)
    return lab


def _definition(told: Mapping[str, Any]) -> MachineDefinition:
    return MachineDefinition(
        **{**told, "units": tuple(told["units"]), "keeps": tuple(told["keeps"])}
    )


def remembered(definition: MachineDefinition) -> dict[str, Any]:
    return {
        **asdict(definition),
        "environment": dict(definition.environment),
        "brings": dict(definition.brings),
    }


def power_program(driver: str, home: Path) -> list[str]:
    """The command that powers machines; -S because it needs no packages and every millisecond."""
    program = [sys.executable, "-S", "-m", f"deploy.lab.{driver}", str(home)]
    return ["env", f"PYTHONPATH={CHECKOUT}", *program]
