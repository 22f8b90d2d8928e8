"""libvirt, through `virsh`; `at` is a connection URI, such as qemu:///system.

What lives here: which commands do what the port promises. What must not: running virsh
(_virsh.py), finding a machine (_libvirt_domains.py), and exports (_libvirt_exports.py). It acts
through its Host, so it works on the hypervisor itself, from an agent with qemu+ssh://, and over
our own SSH.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

from tasks.host import Host
from tasks.hypervisors import (
    Ability,
    Export,
    Hypervisor,
    HypervisorFault,
    Look,
    Power,
    Snapshot,
)
from tasks.hypervisors._libvirt_domains import PATTERN, STARTS, Domain, find
from tasks.hypervisors._libvirt_exports import Exports
from tasks.hypervisors._virsh import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    SaidNo,
    Virsh,
    reached_here,
)

#: A URI has a driver, and perhaps a transport; a path or a host's name has neither.
URI = re.compile(r"[a-z]+(\+[a-z0-9]+)?://\S*")
LISTED = re.compile(r"^ (?P<name>.*?) +(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}) +\S+.*$")
BEGUN = "omain is already "
BOOT = "/proc/sys/kernel/random/boot_id"


def connect(at: str, host: Host) -> Hypervisor:
    if not URI.fullmatch(at):
        raise HypervisorFault(
            f"{at!r} is no libvirt URI; write one such as qemu:///system or "
            "qemu+ssh://root@hv1.example.org/system",
            retry=False,
        )
    return Libvirt(at, host)


class Libvirt:
    """A Hypervisor over one libvirt."""

    def __init__(self, at: str, host: Host) -> None:
        self._at, self._host = at, host

    @property
    def abilities(self) -> frozenset[Ability]:
        # Disks are read where they are, which is not here if the hypervisor is not.
        return frozenset(Ability) if reached_here(self._at) else frozenset({Ability.SNAPSHOTS})

    def state(self, vm: str, *, seconds: float = 10) -> Power:
        return find(self._within(seconds), vm).power

    def look(self, vm: str, *, seconds: float = 10) -> Look:
        found = find(self._within(seconds), vm)
        if found.number == "-":
            return Look(found.power, "")
        # The count begins anew with the hypervisor's own boot, which is known of this machine.
        began = self._host.read(BOOT) if reached_here(self._at) else None
        return Look(found.power, f"{found.number}@{(began or '').strip()}")

    def start(self, vm: str, *, seconds: float = 60) -> None:
        virsh = self._within(seconds)
        start(virsh, find(virsh, vm))

    def stop(self, vm: str, *, hard: bool, seconds: float = 60) -> None:
        virsh = self._within(seconds)
        found = find(virsh, vm)
        if hard:
            cut(virsh, found)
        else:
            shut_down(virsh, found)

    def restart(self, vm: str, *, seconds: float = 60) -> None:
        # Not virsh's reset: it keeps the domain's number, and one boot could not be told from
        # the next.
        virsh = self._within(seconds)
        cut(virsh, find(virsh, vm))
        start(virsh, find(virsh, vm))

    def snapshot(self, vm: str, name: str, *, seconds: float = 300) -> None:
        virsh = self._within(seconds)
        found = find(virsh, vm)
        if named(virsh, found, name):
            raise virsh.fault(f"{vm} has a snapshot {name!r} already; choose another name")
        virsh.say("snapshot-create-as", "--domain", found.uuid, f"--name={name}", "--atomic")
        if not named(virsh, found, name):
            raise virsh.fault(f"{vm}: snapshot {name!r} was taken, and is not there")

    def list_snapshots(self, vm: str, *, seconds: float = 30) -> tuple[Snapshot, ...]:
        virsh = self._within(seconds)
        return snapshots(virsh, find(virsh, vm))

    def restore_snapshot(self, vm: str, name: str, *, seconds: float = 300) -> None:
        virsh = self._within(seconds)
        found = find(virsh, vm)
        whole = the_one(virsh, found, name)
        virsh.say("snapshot-revert", "--domain", found.uuid, f"--snapshotname={whole}")

    def remove_snapshot(self, vm: str, name: str, *, seconds: float = 600) -> None:
        virsh = self._within(seconds)
        found = find(virsh, vm)
        whole = the_one(virsh, found, name)
        virsh.say("snapshot-delete", "--domain", found.uuid, f"--snapshotname={whole}")
        if named(virsh, found, name):
            raise virsh.fault(f"snapshot {name!r} of {vm} is still there")

    def export(self, vm: str, name: str, to: str, *, seconds: float = 3600) -> Export:
        virsh = self._exporting(seconds)
        found = find(virsh, vm)
        return Exports(virsh, found.name, to).write(found.uuid, the_one(virsh, found, name))

    def list_exports(self, vm: str, to: str, *, seconds: float = 60) -> tuple[Export, ...]:
        virsh = self._exporting(seconds)
        return Exports(virsh, find(virsh, vm).name, to).whole()

    def remove_export(self, vm: str, name: str, to: str, *, seconds: float = 600) -> None:
        virsh = self._exporting(seconds)
        Exports(virsh, find(virsh, vm).name, to).remove(name)

    def _within(self, seconds: float) -> Virsh:
        return Virsh(self._at, self._host, seconds, self._host.now() + seconds)

    def _exporting(self, seconds: float) -> Virsh:
        virsh = self._within(seconds)
        if Ability.EXPORT not in self.abilities:
            raise virsh.fault("an export is written on the hypervisor's own machine; ask there")
        return virsh


def start(virsh: Virsh, found: Domain) -> None:
    if found.power is Power.RUNNING:
        return
    if found.state not in STARTS:
        shutting = found.power is Power.STOPPING
        what = "is still shutting down" if shutting else f"is {found.state}; cut its power first"
        raise virsh.fault(f"{found.name} {what}", retry=shutting)
    try:
        virsh.say(STARTS[found.state], "--domain", found.uuid)
    except SaidNo as error:
        # Somebody else's start, a moment before ours, is as good. QEMU's machines are paused
        # until they are through with it.
        if BEGUN not in error.complaint and find(virsh, found.name).power is not Power.RUNNING:
            raise

    def missing() -> str:
        now = find(virsh, found.name)
        if now.power is Power.OFF:
            raise virsh.fault(f"{found.name} was started, and went off again at once")
        return "" if now.power is Power.RUNNING else f"{found.name} is still {now.state}"

    wait(virsh, missing)


def shut_down(virsh: Virsh, found: Domain) -> None:
    if found.power is Power.OFF:
        return
    keep(virsh, found)
    if found.power in (Power.PAUSED, Power.UNKNOWN):
        what = "saved" if found.saved else found.state
        raise virsh.fault(f"{found.name} is {what} and hears nothing; start it, or cut its power")
    if found.power is Power.RUNNING:
        virsh.say("shutdown", "--domain", found.uuid)

    def missing() -> str:
        off = find(virsh, found.name).power is Power.OFF
        return "" if off else f"{found.name} did not shut down"

    wait(virsh, missing)


def cut(virsh: Virsh, found: Domain) -> None:
    if found.power is Power.OFF:
        return
    keep(virsh, found)
    try:
        if found.state == "shut off":
            virsh.say("managedsave-remove", "--domain", found.uuid)
        else:
            virsh.say("destroy", "--domain", found.uuid)
    except SaidNo:
        if find(virsh, found.name).power is not Power.OFF:
            raise

    def missing() -> str:
        now = find(virsh, found.name)
        return "" if now.power is Power.OFF else f"{found.name} is still {now.state}"

    wait(virsh, missing)


def keep(virsh: Virsh, found: Domain) -> None:
    """A transient domain is forgotten when it is off, and nothing could start it again."""
    if not found.persistent:
        raise virsh.fault(
            f"{found.name} is transient, so libvirt would forget it once it is off; define it "
            "first: virsh dumpxml, virsh define"
        )


def wait(virsh: Virsh, missing: Callable[[], str]) -> None:
    """Until nothing is missing any more; what still was goes into the fault."""
    pause = FIRST_PAUSE
    while complaint := missing():
        if not virsh.pause(pause):
            raise virsh.late(complaint)
        pause = min(pause * 1.5, LONGEST_PAUSE)


def snapshots(virsh: Virsh, found: Domain) -> tuple[Snapshot, ...]:
    """Oldest first; of one second, parents before their children."""
    told = virsh.say("snapshot-list", "--domain", found.uuid, "--topological")
    rows = [row for each in told.splitlines() if (row := LISTED.match(each))]
    current = ""
    if rows:
        try:
            current = virsh.say("snapshot-current", "--domain", found.uuid, "--name").strip("\n")
        except SaidNo as error:
            if "no current snapshot" not in error.complaint:
                raise
    listed = [
        Snapshot(row["name"], moment(row["at"]).timestamp(), current=row["name"] == current)
        for row in rows
    ]
    return tuple(sorted(listed, key=lambda each: each.taken_at))


def moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S %z")


def named(virsh: Virsh, found: Domain, name: str) -> list[str]:
    if PATTERN.search(name) or "/" in name or name.startswith("."):
        raise virsh.fault(f"{name!r} is no name for a snapshot; leave out * ? [ ] and /")
    return [e.name for e in snapshots(virsh, found) if e.name.casefold() == name.casefold()]


def the_one(virsh: Virsh, found: Domain, name: str) -> str:
    """The snapshot's name as libvirt has it."""
    same = named(virsh, found, name)
    if len(same) == 1 or name in same:
        return name if name in same else same[0]
    there = ", ".join(each.name for each in snapshots(virsh, found)) or "none"
    raise virsh.fault(f"{found.name} has no snapshot {name!r} (there are: {there})")
