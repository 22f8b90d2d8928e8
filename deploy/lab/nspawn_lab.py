"""The nspawn driver: each machine is a real systemd in its own namespaces.

What lives here: the network, keys and command lines of the machines. What must not: powering
them (nspawn.py) and building their root file system (rootfs.py). Every machine's network
namespace outlives its boots, as a network card does; the bridge's namespace has no way out.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from deploy.lab import LabFault, rootfs
from deploy.lab.lab import CHECKOUT, HERE, Lab, power_program, remembered
from deploy.lab.machines import NETWORK, MachineDefinition, Places, lay
from deploy.lab.nspawn import NspawnMachine
from deploy.lab.powering import CannotPower
from tasks.host import LocalHost, Ran

PLACES = Places(
    python="/usr/bin/python3",
    redis="/usr/bin/redis-server",
    redis_type="notify",
    network=NETWORK,
    also_listen="127.0.0.1",
    source="/opt/autobot-dr/src",
    packages="/opt/autobot-dr/lib",
    standins="/opt/lab",
    kept="/var/lib/autobot-dr",
    conf="/opt/lab/laid",
    redis_conf="/etc/redis-stack.conf",
    redis_data="/var/lib/redis-stack",
    ollama_data="/var/lib/ollama",
    logs="/var/log/autobot",
)

#: Of the machines' root; /usr/bin/python3 points to it.
PYTHON = "/usr/bin/python3.11"

#: Made anew on every boot. Redis's configuration is a copy, because a restore may rewrite it.
TMPFILES = (
    "C /etc/redis-stack.conf 0640 redis redis - /opt/lab/laid/redis-stack.conf\n"
    "f+ /etc/hosts 0644 - - - 127.0.0.1 localhost\\n127.0.1.1 {name}\\n\n"
)


def why_not() -> str:
    return rootfs.missing_here()


def open(home: Path) -> Lab:  # noqa: A001 (every driver has make and open)
    return NspawnLab(home)


def make(
    home: Path, machines: Sequence[MachineDefinition], tell: Callable[[str], None]
) -> NspawnLab:
    if any(sign in str(home) for sign in ":\\"):
        raise LabFault(f"{home}: systemd-nspawn cannot bind a path with a colon or a backslash")
    built = rootfs.ensure(tell)
    # From the path, so that a run that was killed leaves names which the next one finds.
    short = hashlib.sha256(str(home).encode()).hexdigest()[:6]
    namespace = f"adr-{short}"
    _remove_namespaces(namespace)
    _keys(home, [each.address for each in machines])
    plan: dict[str, Any] = {
        "driver": "nspawn",
        "namespace": namespace,
        "network": NETWORK,
        "rootfs": str(built.root),
        "power": power_program("nspawn", home),
        "machines": {},
    }
    for number, machine in enumerate(machines):
        label = f"{namespace}-{number}"
        lay(machine, PLACES, home / "laid" / machine.name)
        (home / "laid" / machine.name / "tmpfiles.conf").write_text(
            TMPFILES.format(name=machine.name)
        )
        plan["machines"][machine.name] = {
            "definition": remembered(machine),
            "address": machine.address,
            "vm": machine.vm,
            "label": label,
            "link": label,
            "kept_inside": PLACES.kept,
            "laid_inside": PLACES.conf,
            "argv": _argv(home, built, label, machine),
        }
    # Written down before anything is made, so that `down` can clear what a killed run left.
    (home / "lab.json").write_text(json.dumps(plan, indent=1))
    _network(namespace, plan["machines"])
    return NspawnLab(home)


def _argv(home: Path, built: rootfs.Built, label: str, machine: MachineDefinition) -> list[str]:
    laid, kept = home / "laid" / machine.name, home / "kept" / machine.name
    (kept / "autobot-dr").mkdir(parents=True)
    read_only = _strangers(machine) if machine.brings else _ours(home, built, laid)
    kept_folders = {kept / "autobot-dr": "/var/lib/autobot-dr"}
    for folder in machine.keeps:
        own = kept / folder.strip("/").replace("/", "-")
        own.mkdir()
        kept_folders[own] = folder
    return [
        *("systemd-nspawn", "--quiet", "--settings=no", "--boot", "--volatile=overlay"),
        *(f"--directory={built.root}", f"--machine={label}", f"--hostname={machine.name}"),
        *("--register=no", "--keep-unit", "--link-journal=no"),
        *("--resolv-conf=off", "--timezone=off"),
        *(f"--network-namespace-path=/run/netns/{label}", "--capability=CAP_NET_ADMIN"),
        *(f"--bind-ro={here}:{there}" for here, there in read_only.items()),
        *(f"--bind={here}:{there}" for here, there in kept_folders.items()),
    ]


def _ours(home: Path, built: rootfs.Built, laid: Path) -> dict[Path, str]:
    """What makes it a machine of the fleet: our code, its units, its keys."""
    return {
        CHECKOUT / "tasks": "/opt/autobot-dr/src/tasks",
        CHECKOUT / "workers": "/opt/autobot-dr/src/workers",
        HERE / "standins": "/opt/lab/standins",
        laid: "/opt/lab/laid",
        laid / "units": "/usr/local/lib/systemd/system",
        laid / "tmpfiles.conf": "/etc/tmpfiles.d/lab.conf",
        home / "keys" / "machine": "/run/lab-ssh",
        **built.packages,
    }


def _strangers(machine: MachineDefinition) -> dict[Path, str]:
    """What it brings along, and a Python that only fails: nobody may need one there."""
    brought = {Path(here): there for here, there in machine.brings.items()}
    return {**brought, Path("/bin/false"): PYTHON}


def _network(namespace: str, machines: dict[str, Any]) -> None:
    """A bridge in a namespace without a way out; the ends of each cable wait for their use.

    The coordinator has a cable as the machines have. A second bridge hangs on the first; what
    is isolated on the first are the way to it and the coordinator, so that these two never
    speak, and both speak with all others: a machine is parted by moving its cable there.
    """
    _ip("netns", "add", namespace)
    inside = ("-n", namespace)
    _ip(*inside, "link", "set", "lo", "up")
    for bridge in (namespace, far(namespace)):
        _ip(*inside, "link", "add", bridge, "type", "bridge")
        _ip(*inside, "link", "set", bridge, "up")
    card, port = f"{namespace}-c", coordinator_port(namespace)
    _cable(inside, (port, namespace), (card, ""))
    _cable(inside, (f"{namespace}-n", namespace), (f"{namespace}-m", far(namespace)))
    for isolated in (port, f"{namespace}-n"):
        _ip(*inside, "link", "set", isolated, "type", "bridge_slave", "isolated", "on")
    _ip(*inside, "addr", "add", f"{NETWORK}.1/24", "dev", card)
    for each in machines.values():
        label = each["label"]
        _ip("netns", "add", label)
        peer = ("peer", "name", "host0", "netns", label)
        _ip(*inside, "link", "add", label, "type", "veth", *peer)
        _ip(*inside, "link", "set", label, "master", namespace)
        _ip("-n", label, "link", "set", "lo", "up")
        _ip("-n", label, "addr", "add", f"{each['address']}/24", "dev", "host0")
        _ip("-n", label, "link", "set", "host0", "up")


def far(namespace: str) -> str:
    """The bridge of those that the coordinator does not reach."""
    return f"{namespace}-f"


def coordinator_port(namespace: str) -> str:
    """The bridge's end of the coordinator's cable."""
    return f"{namespace}-p"


def _cable(inside: tuple[str, str], *ends: tuple[str, str]) -> None:
    """Both ends in the same namespace; an end may be plugged into a bridge."""
    (one, _), (other, _) = ends
    _ip(*inside, "link", "add", one, "type", "veth", "peer", "name", other)
    for end, bridge in ends:
        if bridge:
            _ip(*inside, "link", "set", end, "master", bridge)
        _ip(*inside, "link", "set", end, "up")


def _remove_namespaces(namespace: str) -> None:
    listed = LocalHost().run(["ip", "netns", "list"], seconds=10)
    for line in listed.out.splitlines():
        name = line.split()[0]
        if name == namespace or name.startswith(f"{namespace}-"):
            _ip("netns", "delete", name)


def _keys(home: Path, addresses: Sequence[str]) -> None:
    keys, machine = home / "keys", home / "keys" / "machine"
    machine.mkdir()
    _ok("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(keys / "ssh"))
    _ok("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(machine / "host"))
    (machine / "authorized_keys").write_text((keys / "ssh.pub").read_text())
    host_key = " ".join((machine / "host.pub").read_text().split()[:2])
    (keys / "known_hosts").write_text("".join(f"{each} {host_key}\n" for each in addresses))


def _ip(*arguments: str) -> None:
    _ok("ip", *arguments)


def _ok(*argv: str) -> None:
    done = LocalHost().run(argv, seconds=30)
    if not done.ok:
        raise LabFault(f"{' '.join(argv[:6])}: {done.complaint}")


class NspawnLab(Lab):
    """Real systemd machines in network namespaces."""

    driver = "nspawn"

    def prefix(self) -> list[str]:
        return ["nsenter", f"--net=/run/netns/{self.plan['namespace']}"]

    def inside(self, machine: str, argv: Sequence[str], *, seconds: float = 30) -> Ran:
        leader = self.machine(machine).leader()
        if not leader:
            raise LabFault(f"{machine}: is off")
        enter = ["nsenter", "--target", str(leader), "--mount", "--pid", "--net", "--uts", "--ipc"]
        return LocalHost().run([*enter, "--", *argv], seconds=seconds)

    def machine(self, name: str) -> NspawnMachine:
        self._of(name)
        return NspawnMachine(self.home, name)

    def cut(self, machine: str) -> None:
        self._of(machine)
        (self.home / "machines" / f"{machine}.cut").touch()
        self._link(machine, "down")

    def join(self, machine: str) -> None:
        self._of(machine)
        (self.home / "machines" / f"{machine}.cut").unlink(missing_ok=True)
        if self.power_of(machine) != "off":
            self._link(machine, "up")

    def part(self, machine: str) -> None:
        self._move(machine, far(self.plan["namespace"]))

    def unite(self, machine: str) -> None:
        self._move(machine, self.plan["namespace"])

    def coordinator_link(self, state: str) -> None:
        namespace = self.plan["namespace"]
        _ip("-n", namespace, "link", "set", coordinator_port(namespace), state)

    def near(self, machine: str) -> list[str]:
        return ["nsenter", f"--net=/run/netns/{self._of(machine)['label']}"]

    def clear(self) -> None:
        for name in self.machines:
            # Its link may be gone already; what counts is that the machine is.
            with contextlib.suppress(CannotPower):
                self.machine(name).kill()
            if self.power_of(name) != "off":
                raise LabFault(f"{name}: could not be ended, so the lab is left as it is")
        _remove_namespaces(self.plan["namespace"])

    def _link(self, machine: str, state: str) -> None:
        _ip("-n", self.plan["namespace"], "link", "set", self._of(machine)["link"], state)

    def _move(self, machine: str, bridge: str) -> None:
        near = self.plan["namespace"]
        _ip("-n", near, "link", "set", self._of(machine)["link"], "master", bridge)
        # Each bridge believes for minutes that a silent machine is where it last spoke.
        for each in (near, far(near)):
            _ip("-n", near, "link", "set", each, "type", "bridge", "fdb_flush")
