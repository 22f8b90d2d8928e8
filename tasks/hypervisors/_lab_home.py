"""The machines of a practice lab, as its home folder shows them; both lab drivers use it.

The lab says in HOME/lab.json which program powers its machines, and that program keeps
HOME/machines/NAME.json. State needs no process: the record, checked against /proc.
"""

from __future__ import annotations

import json
from typing import Any

from tasks.host import Host
from tasks.hypervisors import Ability, Export, HypervisorFault, Look, Power, Snapshot

#: What the power program's exit codes mean for a retry: it ran out of time.
TOO_SLOW = 3


class LabHome:
    """A Hypervisor over the lab at `home`."""

    abilities: frozenset[Ability] = frozenset()

    def __init__(self, home: str, host: Host) -> None:
        self.home = home
        self.host = host

    def state(self, vm: str, *, seconds: float = 10) -> Power:  # noqa: ARG002 (only reads files)
        name, machine = self._find(vm, self._lab())
        written = self.host.read(f"{self.home}/machines/{name}.json")
        if written is None:
            return Power.OFF
        told = json.loads(written)
        # A recycled process id does not carry the machine's label in its arguments.
        if f"--machine={machine['label']}" in self._arguments(told["pid"]):
            return Power(told["power"])
        if told["power"] == Power.STARTING and self._arguments(told["by"]):
            return Power.STARTING
        return Power.OFF

    def look(self, vm: str, *, seconds: float = 10) -> Look:
        return Look(self.state(vm, seconds=seconds), self._boot(vm))

    def start(self, vm: str, *, seconds: float = 60) -> None:
        self._power("start", vm, seconds)

    def stop(self, vm: str, *, hard: bool, seconds: float = 60) -> None:
        self._power("kill" if hard else "stop", vm, seconds)

    def restart(self, vm: str, *, seconds: float = 60) -> None:
        ends = self.host.now() + seconds
        self._power("kill", vm, seconds)
        self._power("start", vm, max(1.0, ends - self.host.now()))

    # A practice machine's disk is new at every boot: there is nothing to keep of it.

    def snapshot(self, vm: str, name: str, *, seconds: float = 300) -> None:  # noqa: ARG002
        raise self._unable(Ability.SNAPSHOTS)

    def list_snapshots(self, vm: str, *, seconds: float = 30) -> tuple[Snapshot, ...]:  # noqa: ARG002
        raise self._unable(Ability.SNAPSHOTS)

    def restore_snapshot(self, vm: str, name: str, *, seconds: float = 300) -> None:  # noqa: ARG002
        raise self._unable(Ability.SNAPSHOTS)

    def remove_snapshot(self, vm: str, name: str, *, seconds: float = 600) -> None:  # noqa: ARG002
        raise self._unable(Ability.SNAPSHOTS)

    def export(self, vm: str, name: str, to: str, *, seconds: float = 3600) -> Export:  # noqa: ARG002
        raise self._unable(Ability.EXPORT)

    def list_exports(self, vm: str, to: str, *, seconds: float = 60) -> tuple[Export, ...]:  # noqa: ARG002
        raise self._unable(Ability.EXPORT)

    def remove_export(self, vm: str, name: str, to: str, *, seconds: float = 600) -> None:  # noqa: ARG002
        raise self._unable(Ability.EXPORT)

    def _unable(self, ability: Ability) -> HypervisorFault:
        return HypervisorFault(
            f"the practice lab at {self.home} has no {ability}; use a hypervisor that has them",
            retry=False,
        )

    def _boot(self, vm: str) -> str:
        name, _ = self._find(vm, self._lab())
        written = self.host.read(f"{self.home}/machines/{name}.json")
        return "" if written is None else str(json.loads(written)["boots"])

    def _power(self, verb: str, vm: str, seconds: float) -> None:
        lab = self._lab()
        name, _ = self._find(vm, lab)
        done = self.host.run([*lab["power"], verb, name], seconds=seconds)
        if not done.ok:
            raise HypervisorFault(
                f"{vm}: {verb}: {done.complaint}", retry=done.exit_code in (None, TOO_SLOW)
            )

    def _lab(self) -> dict[str, Any]:
        written = self.host.read(f"{self.home}/lab.json")
        if written is None:
            raise HypervisorFault(f"there is no lab at {self.home}", retry=False)
        lab: dict[str, Any] = json.loads(written)
        return lab

    def _find(self, vm: str, lab: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        for name, machine in lab["machines"].items():
            if machine["vm"] == vm:
                return name, machine
        known = ", ".join(machine["vm"] for machine in lab["machines"].values())
        raise HypervisorFault(
            f"{vm!r} is no machine of the lab at {self.home} (known: {known})", retry=False
        )

    def _arguments(self, pid: int) -> list[str]:
        """Empty for no process, and for one that has ended but was not collected yet."""
        return [each for each in (self.host.read(f"/proc/{pid}/cmdline") or "").split("\0") if each]
