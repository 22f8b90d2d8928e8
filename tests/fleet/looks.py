"""Looks at a practice fleet from where the coordinator or one of its machines stands."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import pytest

from deploy.lab.lab import Lab
from deploy.lab.redis_faults import CLIENT
from tasks.host import LocalHost, Ran

SERVICES = {
    "redis": "redis-stack-server",
    "ai": "ollama",
    "npu": "npu-worker",
    "browser": "playwright-server",
    "frontend": "autobot-frontend",
    "backend": "autobot-backend",
}
on_real_machines = pytest.mark.parametrize("lab", ["nspawn"], indirect=True)
CURL = """
import sys, urllib.error, urllib.request
try:
    reply = urllib.request.urlopen(sys.argv[1], timeout=3)
except urllib.error.HTTPError as error:
    reply = error
sys.stdout.write(reply.read().decode())
"""


def get(lab: Lab, url: str, near: str = "") -> str:
    """The answer from where the coordinator, or a machine, stands, or an empty text."""
    prefix = lab.near(near) if near else lab.prefix()
    return LocalHost().run([*prefix, sys.executable, "-c", CURL, url], seconds=10).out


def health(lab: Lab, machine: str, port: int, path: str = "/health", near: str = "") -> str:
    return get(lab, f"http://{lab.address(machine)}:{port}{path}", near)


def backend(lab: Lab) -> str:
    answer = health(lab, "backend", 8001, "/api/health")
    return str(json.loads(answer)["status"]) if answer[:1] == "{" else answer or "silent"


def redis(lab: Lab, *words: str) -> str:
    """What a client without a password is told, from where the coordinator stands."""
    ask = [sys.executable, str(CLIENT), lab.address("redis"), "6379", json.dumps([words])]
    said = LocalHost().run([*lab.prefix(), *ask], seconds=10).out
    return str(json.loads(said)[0]) if said else "silent"


def systemctl(lab: Lab, machine: str, *words: str) -> Ran:
    return lab.inside(machine, ["systemctl", *words, "--", SERVICES[machine]], seconds=60)


def shown(lab: Lab, machine: str, name: str) -> str:
    return systemctl(lab, machine, "show", f"--property={name}").out.strip().partition("=")[2]


def unit(lab: Lab, machine: str) -> str:
    return {each.name: each for each in lab.status()}[machine].units.get(SERVICES[machine], "")


def eventually(what: Callable[[], object], wanted: object, seconds: float = 15) -> None:
    ends = time.monotonic() + seconds
    while (seen := what()) != wanted:
        assert time.monotonic() < ends, f"still {seen!r} and not {wanted!r}"
        time.sleep(0.1)
