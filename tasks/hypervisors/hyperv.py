"""Hyper-V, through PowerShell remoting; `at` is host[:port] or a settings file.

What lives here: which cmdlets do what the port promises, and what their answers mean. What must
not: the connection (_hyperv_remote.py), and how a host is reached (_hyperv_settings.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tasks.host import Host
from tasks.hypervisors import Ability, Export, Hypervisor, HypervisorFault, Look, Power, Snapshot
from tasks.hypervisors._hyperv_answers import moment, power_of, powered_at, property_of
from tasks.hypervisors._hyperv_exports import Exports, get
from tasks.hypervisors._hyperv_faults import Late, SaidNo
from tasks.hypervisors._hyperv_pool import Cmdlet
from tasks.hypervisors._hyperv_remote import Remote, Session
from tasks.hypervisors._hyperv_settings import Settings, read_settings

UNKNOWN_NAME = "InvalidParameter"
PATTERN = re.compile(r"[*?\[\]`]|^\s*$")
NAMES_SHOWN = 20
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0


def connect(at: str, host: Host) -> Hypervisor:
    settings = read_settings(at, host)
    return HyperV(settings, Remote(settings, host))


def load() -> None:
    """pypsrp takes a second, and every process of the agent would have to spend it."""
    with suppress(ImportError):
        import pypsrp.negotiate
        import pypsrp.powershell
        import pypsrp.wsman  # noqa: F401 (to have it imported)


def act(name: str, **given: Any) -> Cmdlet:
    """A cmdlet that changes something, and asks nobody."""
    return Cmdlet(name, {**given, "Confirm": False, "ErrorAction": "Stop"})


def only(*properties: str) -> Cmdlet:
    """A whole virtual machine is some eighty properties, each of which the host looks up."""
    return Cmdlet("Select-Object", {"Property": list(properties)})


class HyperV:
    """A Hypervisor over one Hyper-V host."""

    abilities = frozenset(Ability)

    def __init__(self, settings: Settings, remote: Remote) -> None:
        self._place = settings.place
        self._remote = remote

    def state(self, vm: str, *, seconds: float = 10) -> Power:
        return self._remote.within(seconds, lambda session: self._look(session, vm).power)

    def look(self, vm: str, *, seconds: float = 10) -> Look:
        return self._remote.within(seconds, lambda session: self._look(session, vm))

    def start(self, vm: str, *, seconds: float = 60) -> None:
        self._remote.within(seconds, lambda session: self._start(session, vm))

    def stop(self, vm: str, *, hard: bool, seconds: float = 60) -> None:
        if hard:
            self._remote.within(seconds, lambda session: self._cut(session, vm))
        else:
            self._remote.within(seconds, lambda session: self._shut_down(session, vm))

    def restart(self, vm: str, *, seconds: float = 60) -> None:
        def work(session: Session) -> None:
            if self._look(session, vm).power is Power.RUNNING:
                session.run((act("Restart-VM", Name=vm, Force=True),))
                self._await_running(session, vm)
            else:
                self._cut(session, vm)
                self._start(session, vm)

        self._remote.within(seconds, work)

    def snapshot(self, vm: str, name: str, *, seconds: float = 300) -> None:
        def work(session: Session) -> None:
            if self._all_named(session, vm, name):
                raise self._fault(f"{vm} has a checkpoint {name!r} already; choose another name")
            session.run((act("Checkpoint-VM", Name=vm, SnapshotName=name),))
            if not self._all_named(session, vm, name):
                raise self._fault(f"{vm}: checkpoint {name!r} was taken, and is not there")

        self._remote.within(seconds, work)

    def list_snapshots(self, vm: str, *, seconds: float = 30) -> tuple[Snapshot, ...]:
        return self._remote.within(seconds, lambda session: self._snapshots(session, vm))

    def restore_snapshot(self, vm: str, name: str, *, seconds: float = 300) -> None:
        def work(session: Session) -> None:
            self._the_one(session, vm, name)
            session.run((act("Restore-VMSnapshot", VMName=vm, Name=name),))

        self._remote.within(seconds, work)

    def remove_snapshot(self, vm: str, name: str, *, seconds: float = 600) -> None:
        def work(session: Session) -> None:
            self._the_one(session, vm, name)
            session.run((act("Remove-VMSnapshot", VMName=vm, Name=name),))

            def missing() -> str:
                there = self._all_named(session, vm, name)
                return f"checkpoint {name!r} of {vm} is still there" if there else ""

            self._await(session, missing)

        self._remote.within(seconds, work)

    def export(self, vm: str, name: str, to: str, *, seconds: float = 3600) -> Export:
        def work(session: Session) -> Export:
            self._the_one(session, vm, name)
            return self._exports(session, vm, to).write(vm, name)

        return self._remote.within(seconds, work)

    def list_exports(self, vm: str, to: str, *, seconds: float = 60) -> tuple[Export, ...]:
        def work(session: Session) -> tuple[Export, ...]:
            self._look(session, vm)
            return self._exports(session, vm, to).whole()

        return self._remote.within(seconds, work)

    def remove_export(self, vm: str, name: str, to: str, *, seconds: float = 600) -> None:
        def work(session: Session) -> None:
            self._look(session, vm)
            self._plain(name)
            self._exports(session, vm, to).remove(name)

        self._remote.within(seconds, work)

    # What the calls are made of; all within the session of one call.

    def _exports(self, session: Session, vm: str, to: str) -> Exports:
        return Exports(session, self._place, vm, to)

    def _look(self, session: Session, vm: str, *after: Cmdlet) -> Look:
        """Once these are done, in the same pipeline: each takes the host a round of its own."""
        self._plain(vm)
        try:
            # The host's own clock, asked in the same breath: ours may differ by hours.
            *machines, now = session.run(
                *((each,) for each in after),
                (get("Get-VM", Name=vm), only("Name", "State", "Uptime")),
                (get("Get-Date"),),
            )
        except SaidNo as error:
            if error.identity != UNKNOWN_NAME:
                raise
            machines, now = [], None
        same = [each for each in machines if property_of(each, "Name").casefold() == vm.casefold()]
        if not same:
            raise self._fault(f"there is no machine {vm!r} (known: {self._known(session)})")
        if len(same) > 1:
            raise self._fault(f"{len(same)} machines are named {vm!r}; give each its own name")
        power = power_of(property_of(same[0], "State"))
        boot = "" if power is Power.OFF else powered_at(now, property_of(same[0], "Uptime"))
        return Look(power, boot)

    def _known(self, session: Session) -> str:
        names = [property_of(e, "Name") for e in session.run((get("Get-VM"), only("Name")))]
        more = [f"and {len(names) - NAMES_SHOWN} more"] if len(names) > NAMES_SHOWN else []
        return ", ".join(sorted(names)[:NAMES_SHOWN] + more) or "none"

    def _start(self, session: Session, vm: str) -> None:
        power = self._look(session, vm).power
        if power is Power.RUNNING:
            return
        if power is not Power.STARTING:
            try:
                power = self._look(session, vm, act("Start-VM", Name=vm)).power
            except SaidNo:
                # Somebody else's start, a moment before ours, is as good.
                power = self._look(session, vm).power
                if power not in (Power.STARTING, Power.RUNNING):
                    raise
        if power is not Power.RUNNING:
            self._await_running(session, vm)

    def _await_running(self, session: Session, vm: str) -> None:
        def missing() -> str:
            power = self._look(session, vm).power
            if power is Power.OFF:
                raise self._fault(f"{vm} was started, and went off again at once")
            return "" if power is Power.RUNNING else f"{vm} is still {power}"

        self._await(session, missing)

    def _shut_down(self, session: Session, vm: str) -> None:
        power = self._look(session, vm).power
        if power is Power.OFF:
            return
        try:
            if power is not Power.STOPPING:
                # Force, because a locked or busy guest would otherwise make it ask a person.
                session.run((act("Stop-VM", Name=vm, Force=True),))
            self._await_off(session, vm)
        except Late:
            took = session.deadline.seconds
            raise Late(f"{self._place}: {vm} did not shut down in {took:.0f} s") from None

    def _cut(self, session: Session, vm: str) -> None:
        if self._look(session, vm).power is not Power.OFF:
            session.run((act("Stop-VM", Name=vm, TurnOff=True, Force=True),))
            self._await_off(session, vm)

    def _await_off(self, session: Session, vm: str) -> None:
        def missing() -> str:
            power = self._look(session, vm).power
            return "" if power is Power.OFF else f"{vm} is still {power}"

        self._await(session, missing)

    def _await(self, session: Session, missing: Callable[[], str]) -> None:
        """Until nothing is missing any more; what still was goes into the fault."""
        pause, complaint = FIRST_PAUSE, ""
        try:
            while complaint := missing():
                if session.deadline.left() <= pause:
                    raise Late("time is up")
                session.deadline.sleep(pause)
                pause = min(pause * 1.5, LONGEST_PAUSE)
        except Late as fault:
            if not complaint:
                raise
            took = session.deadline.seconds
            raise Late(f"{self._place}: after {took:.0f} s, {complaint}") from fault

    def _snapshots(self, session: Session, vm: str) -> tuple[Snapshot, ...]:
        self._look(session, vm)
        *listed, machine = session.run(
            (get("Get-VMSnapshot", VMName=vm), only("Name", "CreationTime", "Id")),
            (get("Get-VM", Name=vm), only("ParentSnapshotId")),
        )
        parent = property_of(machine, "ParentSnapshotId")
        found = [
            Snapshot(
                property_of(each, "Name"),
                moment(property_of(each, "CreationTime")).timestamp(),
                current=parent is not None and property_of(each, "Id") == parent,
            )
            for each in listed
        ]
        return tuple(sorted(found, key=lambda each: each.taken_at))

    def _all_named(self, session: Session, vm: str, name: str) -> list[Snapshot]:
        self._plain(name)
        listed = self._snapshots(session, vm)
        return [each for each in listed if each.name.casefold() == name.casefold()]

    def _the_one(self, session: Session, vm: str, name: str) -> None:
        found = self._all_named(session, vm, name)
        if not found:
            there = ", ".join(each.name for each in self._snapshots(session, vm)) or "none"
            raise self._fault(f"{vm} has no checkpoint {name!r} (there are: {there})")
        if len(found) > 1:
            raise self._fault(f"{vm} has {len(found)} checkpoints {name!r}; rename all but one")

    def _plain(self, name: str) -> None:
        """Hyper-V takes a name for a pattern: `*` would stop every machine of the host."""
        if PATTERN.search(name):
            raise self._fault(
                f"{name!r} is a pattern and no name; machines and checkpoints are "
                "named without * ? [ ] `"
            )

    def _fault(self, complaint: str) -> HypervisorFault:
        return HypervisorFault(f"{self._place}: {complaint}", retry=False)
