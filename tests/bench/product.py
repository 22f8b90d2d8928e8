"""This project as users run it beside a lab: `autobot-dr up`, and agents in the machines.

What lives here: starting and ending it, and asking its HTTP API. What must not: measuring.
Everything runs in the namespace of the lab, into which the benchmarks were started.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from deploy.lab.lab import CHECKOUT, Lab
from deploy.lab.machines import AGENT
from deploy.lab.processes import die_with_parent
from deploy.lab.stage import API_PORT, configure_agents, stage
from orchestrator.config import load
from orchestrator.core.fleet import Fleet

BOUND = 90.0  #: seconds; nothing that is waited for here takes half as long


class BenchFault(Exception):
    """The benchmark could not be carried out; the sentence says what did not happen."""


def wait_for(what: str, ready: Callable[[], bool], *, every: float = 0.02) -> None:
    ends = time.monotonic() + BOUND
    while not ready():
        if time.monotonic() > ends:
            raise BenchFault(f"{what}: not after {BOUND:.0f} s")
        time.sleep(every)


@contextmanager
def _process(argv: list[str], log: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """A child that is ended with the block, and by the kernel should we be killed."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=CHECKOUT,
            env=dict(environment),
            preexec_fn=die_with_parent,
        )
    try:
        yield
    finally:
        child.terminate()
        try:
            child.wait(timeout=60)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def fleet_of(product: Product) -> Fleet:
    """The fleet as the coordinator has read it."""
    found = load(product.home / "fleet.yaml", product.home / "runbooks")
    if isinstance(found, tuple):
        raise BenchFault("; ".join(str(each) for each in found))
    return found.fleet


def moment(text: str) -> float:
    """A time of the API in Unix seconds."""
    return datetime.fromisoformat(text).timestamp()


class Product:
    """The running product. `at` is the address of its coordinator."""

    def __init__(self, lab: Lab, home: Path) -> None:
        self.lab, self.home, self.at = lab, home, lab.coordinator_address
        self.token = (home / "api.token").read_text().strip()

    def ask(self, method: str, path: str, body: Mapping[str, str] | None = None) -> Any:
        """One request on a connection of its own, as a command line makes it."""
        connection = http.client.HTTPConnection(self.at, API_PORT, timeout=BOUND)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status >= 400:
            raise BenchFault(f"{method} {path}: {answer.status} {content[:300]!r}")
        return json.loads(content)

    def recover(self, scenario: str, *, quiet: float = 0.0) -> tuple[float, dict[str, Any]]:
        """Run a scenario to its end: when it was asked for, and the run as the API tells it.

        The run is looked at only after `quiet` seconds and then rarely, because looking takes
        a part of two cores; the moment of its end is the one that the coordinator recorded.
        """
        asked_at = time.time()
        run = self.ask("POST", "/api/v1/runs", {"scenario": scenario, "reason": "benchmark"})
        found: dict[str, Any] = {}

        def over() -> bool:
            found.update(self.ask("GET", f"/api/v1/runs/{run['id']}"))
            return found["ended_at"] is not None

        time.sleep(quiet)
        wait_for(f"the end of {scenario}", over, every=0.1)
        if found["state"] != "resolved":
            raise BenchFault(f"{scenario} ended {found['state']}: {found['timeline'][-3:]}")
        return asked_at, found

    def restart_agent(self, machine: str) -> None:
        """It is back when it takes orders: its unit is of Type=notify."""
        done = self.lab.inside(machine, ["systemctl", "restart", AGENT], seconds=BOUND)
        if not done.ok:
            raise BenchFault(f"the agent of {machine}: {done.complaint}")


@contextmanager
def running(
    lab: Lab, home: Path, logs: Path, fleet: dict[str, Any] | None = None
) -> Iterator[Product]:
    """`autobot-dr up` for this lab, and every machine's agent configured."""
    environment = {**os.environ, **stage(lab, home, fleet)}
    logs.mkdir(parents=True, exist_ok=True)
    program = [sys.executable, "-c", "from orchestrator.cli import main; main()", "up"]
    try:
        with _process(program, logs / "up.log", environment):
            product = Product(lab, home)
            wait_for("`autobot-dr up`", lambda: _answers(product))
            url = (home / "state" / "broker" / "url").read_text().strip()
            configure_agents(lab, home, url)
            yield product
    finally:
        shutil.copytree(home / "state" / "logs", logs, dirs_exist_ok=True)


def _answers(product: Product) -> bool:
    try:
        product.ask("GET", "/readyz")
    except (OSError, BenchFault):
        return False
    return True
