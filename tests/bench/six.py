"""Six machines with real Redis each, and runbooks that put them to work in measurable ways."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from deploy.lab.lab import Lab
from deploy.lab.machines import AGENT, NETWORK, MachineDefinition
from tests.bench import product
from tests.bench.product import BenchFault, Product

#: Debian's own Redis, with its own unit and the configuration that it ships.
REDIS = "redis-server"
MACHINES = tuple(
    MachineDefinition(
        f"redis-{number}",
        f"{NETWORK}.{30 + number}",
        f"Redis-{number}",
        (),
    )
    for number in range(1, 7)
)
NAMES = tuple(each.name for each in MACHINES)

#: Restarting it does nothing but start one process: the least effect that a step can have.
STAMP = "bench-stamp"
STAMP_UNIT = """\
[Unit]
StartLimitIntervalSec=0
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
"""
#: Several restarts in ten seconds are the benchmark here, and not a crash loop.
UNLIMITED = "[Unit]\nStartLimitIntervalSec=0\n"
#: It listens to its own machine only, as shipped; here it is also asked from outside.
REACHABLE = "bind 0.0.0.0\nprotected-mode no\n"
#: Longer than any chain of the shipped runbooks, and much longer.
SHORT_CHAIN, LONG_CHAIN = 10, 50


def _fleet(key: str) -> dict[str, Any]:
    # Settings of its own for each: a fleet file has no aliases.
    machines = {
        each.name: {"address": each.address, "settings": {"agent_unit": AGENT}} for each in MACHINES
    }
    services: dict[str, Any] = {
        name: {"machine": name, "unit": REDIS, "port": 6379, "check": {"probe": "redis"}}
        for name in NAMES
    }
    services["stamp"] = {
        "machine": NAMES[0],
        "unit": STAMP,
        "port": 6379,
        "check": {"probe": "tcp"},
    }
    return {
        "fleet": "six",
        "control": "control",
        "objectives": {
            "rto": {"target": "5 min", "maximum": "10 min"},
            "rpo": {"target": "1 h", "maximum": "2 h"},
        },
        "ssh": {"user": "root", "key": key},
        "contacts": "nobody",
        "machines": {"control": {"address": f"{NETWORK}.1"}, **machines},
        "services": services,
    }


def _write_runbooks(folder: Path) -> None:
    folder.mkdir(parents=True)
    chain = [{"service.status": {"on": NAMES[number % 2]}} for number in range(LONG_CHAIN)]
    books = {
        "ordered-restart": (list(NAMES), [{"service.restart": {"on": name}} for name in NAMES]),
        "one-step": (["stamp"], ["service.restart"]),
        "short-chain": (list(NAMES[:2]), chain[:SHORT_CHAIN]),
        "long-chain": (list(NAMES[:2]), chain),
    }
    for name, (services, steps) in books.items():
        book = {
            "title": name,
            "impact": "none; this is a benchmark",
            "services": services,
            "estimate": ["1 s", "1 min"],
            "ladder": [{"rung": name, "steps": steps}],
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(book, sort_keys=False))


@contextmanager
def running(lab: Lab, home: Path, logs: Path) -> Iterator[Product]:
    """The product, and all six machines on with their agents and Redis."""
    _write_runbooks(home / "runbooks")
    with product.running(lab, home, logs, _fleet(str(lab.ssh_key))) as made:
        _boot(lab)
        yield made


def _boot(lab: Lab) -> None:
    lab.power_all("start")
    lab.wait_booted()
    for name in NAMES:
        _lay(lab, name, f"/run/systemd/system/{REDIS}.service.d/bench.conf", UNLIMITED)
        _lay(lab, name, f"/run/systemd/system/{STAMP}.service", STAMP_UNIT)
        _lay(lab, name, "/etc/redis/bench.conf", REACHABLE)
        _inside(lab, name, "sh", "-c", "cat /etc/redis/bench.conf >>/etc/redis/redis.conf")
        for argv in (["unmask", REDIS], ["start", REDIS]):
            _inside(lab, name, "systemctl", *argv)


def _lay(lab: Lab, machine: str, path: str, text: str) -> None:
    write = (
        "import pathlib, sys; path = pathlib.Path(sys.argv[1]);"
        "path.parent.mkdir(parents=True, exist_ok=True); path.write_text(sys.argv[2])"
    )
    _inside(lab, machine, "python3", "-c", write, path, text)


def _inside(lab: Lab, machine: str, *argv: str) -> None:
    done = lab.inside(machine, argv)
    if not done.ok:
        raise BenchFault(f"{machine}: {argv[0]}: {done.complaint}")
