"""`make demo`: a fleet boots, all of it fails, AutoBot DR brings it back and says how fast.

What lives here: the story, told with the same commands that an operator types. What must not:
any judgement of our own; whether the fleet is back is what `recover` and `status` say from
outside, and how long it had to take is what the machines' own clocks say.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy.lab import LabFault, measure
from deploy.lab.lab import Lab, default_home, prepare, why_not
from deploy.lab.stage import configure_agents, stage
from orchestrator.config import load
from orchestrator.core.graph import Graph, machine_graph

AUTOBOT = str(Path(sys.executable).parent / "autobot-dr")
UP_SECONDS = 90
GOAL = 1.25


class Theatre:
    """A lab with AutoBot DR running beside it, and the operator's command line."""

    def __init__(self, lab: Lab, home: Path) -> None:
        self.lab, self.home = lab, home
        self.environment = {**os.environ, **stage(lab, home)}

    def autobot(self, *words: str) -> int:
        """Run a command of AutoBot DR as the operator would, where the fleet can be reached."""
        say(f"$ autobot-dr {' '.join(words)}")
        return subprocess.run(self.command(*words), env=self.environment, check=False).returncode

    def ask(self, *words: str) -> Any:
        """What a command says with --json, or LabFault if it failed."""
        done = subprocess.run(
            self.command(*words, "--json"), env=self.environment, capture_output=True, check=False
        )
        if done.returncode:
            raise LabFault(f"autobot-dr {' '.join(words)}: {done.stderr.decode().strip()}")
        return json.loads(done.stdout)

    def command(self, *words: str) -> list[str]:
        return [*self.lab.prefix(), AUTOBOT, *words]

    @contextmanager
    def up(self) -> Iterator[None]:
        """Broker, coordinator, control agent and Flower, until the block ends."""
        log = self.home / "up.log"
        with log.open("wb") as output:
            child = subprocess.Popen(
                self.command("up"), env=self.environment, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            self._await_up(child, log)
            url = (self.home / "state" / "broker" / "url").read_text().strip()
            configure_agents(self.lab, self.home, url)
            yield
        finally:
            child.terminate()
            child.wait(timeout=60)

    def needs(self) -> Graph:
        """Which machine waits for which, as the fleet file's dependencies have it."""
        found = load(self.home / "fleet.yaml", self.home / "runbooks")
        if isinstance(found, tuple):
            raise LabFault("; ".join(map(str, found)))
        return machine_graph(found.fleet, found.fleet.services)

    def _await_up(self, child: subprocess.Popen[bytes], log: Path) -> None:
        ends = time.monotonic() + UP_SECONDS
        while b"AutoBot DR is up" not in log.read_bytes():
            if child.poll() is not None or time.monotonic() > ends:
                raise LabFault(f"`autobot-dr up` did not come up:\n{log.read_text()}")
            time.sleep(0.1)


def say(text: str) -> None:
    print(text, flush=True)


def choose() -> str:
    """The driver to use: real machines where they can be had."""
    reason = why_not("nspawn")
    if not reason:
        say("lab: nspawn, six real systemd machines in a network of their own")
        return "nspawn"
    say(f"lab: process, because nspawn cannot be used here: {reason}")
    return "process"


def play(theatre: Theatre) -> int:
    say("the fleet is started for the first time, by the same runbook; this takes some seconds")
    theatre.ask("recover", "full-system", "--reason", "first start")
    theatre.autobot("status")
    say("\nNow everything fails: all six machines lose their power at once.\n")
    theatre.lab.break_("everything-down")
    theatre.autobot("status")
    say("")
    code = theatre.autobot("recover", "full-system", "--reason", "all machines lost power")
    say("")
    seen = theatre.autobot("status")
    say("")
    if code == 0:
        tell_figure(theatre)
    return code or seen


def tell_figure(theatre: Theatre) -> None:
    """The time it took against the time that the machines themselves needed."""
    took = float(theatre.ask("run", "list")["runs"][0]["rta_s"])
    path = measure.critical_path(theatre.lab.boot_times(), theatre.needs())
    verdict = "met" if took <= GOAL * path.seconds else "missed"
    ratio, route = took / path.seconds, " → ".join(path.machines)
    say(f"from complete failure to verified   {took:6.2f} s")
    say(f"the machines' own critical path     {path.seconds:6.2f} s  ({route})")
    say(f"ratio                               {ratio:6.2f}    (goal {GOAL}, {verdict})")


def main() -> int:
    home = default_home().parent / "demo"
    try:
        lab = prepare(choose(), home / "lab", tell=say)
    except LabFault as fault:
        print(f"demo: {fault}", file=sys.stderr)
        return 1
    try:
        theatre = Theatre(lab, home / "home")
        with theatre.up():
            return play(theatre)
    except LabFault as fault:
        print(f"demo: {fault}", file=sys.stderr)
        return 1
    finally:
        lab.down()


if __name__ == "__main__":
    sys.exit(main())
