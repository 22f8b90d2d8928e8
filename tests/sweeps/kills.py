"""`make kills`: scenario 7 on real machines, with something killed at each of its steps.

What lives here: one cell of the table (who is killed, at which step), and the whole table, which
is printed and kept in `build/kills.json`. What must not: setting the machines up (tests/cold/
site.py). A cell passes when the run ends resolved and no machine was powered on, and no service
started, a second time; both are counted by the machines' own records.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.config import load
from orchestrator.core.incident import State
from orchestrator.core.plan import Step
from orchestrator.core.steps import StepRecord
from tests.cold.site import ColdSite, Site, cold_site
from tests.integration.rig import wait_for

OUTPUT = Path("build/kills.json")
SCENARIO = "full-system"
#: A broker that is back after a second, and one that stays away until the run has ended.
VICTIMS = ("broker", "broker for good", "coordinator", "agent")
BROKER_SECONDS = 1.0
SETTLE_SECONDS = 4.0  #: in which a message that came back would be obeyed again


@dataclass(frozen=True)
class Cell:
    """What became of one run."""

    victim: str
    step: str
    state: str
    seconds: float
    over_ssh: bool
    twice: tuple[str, ...]  #: what was done more than once, or not at all
    reason: str

    @property
    def passed(self) -> bool:
        return self.state == State.RESOLVED and not self.twice


@contextmanager
def kill_site(place: Path) -> Iterator[ColdSite]:
    """All is running, and the watcher only watches."""
    with cold_site(place) as site:
        site.broker.start()
        with site.theatre.up(), site.left_alone():
            yield site


def steps(site: Site) -> list[Step]:
    found = load(site.home / "fleet.yaml", site.home / "runbooks")
    assert not isinstance(found, tuple), found
    return [step for branch in found.plans[SCENARIO].rungs[0].branches for step in branch.steps]


def kill_at(site: ColdSite, victim: str, step: Step) -> Cell:
    """Power lost everywhere, the recovery begun, and this one killed in the middle of the step."""
    site.broker.start()
    site.lab.power_all("kill")
    boots = site.boots()
    began = time.monotonic()
    run = str(site.call("recover", SCENARIO, "--no-wait")["id"])
    await_step(site, run, step)
    _kill(site, victim, step)
    try:
        incident = site.ended(run)
    except TimeoutError as late:
        return Cell(victim, _name(step), "no end", 0.0, False, (), f"{late}: {_open(site, run)}")
    took = time.monotonic() - began
    site.broker.start()
    time.sleep(SETTLE_SECONDS)
    counts = {f"power of {name}": n - boots[name] for name, n in site.boots().items()}
    counts |= {f"service of {name}": n for name, n in site.starts().items()}
    return Cell(
        victim,
        _name(step),
        incident.state.value,
        took,
        site.said(run, "way") != [],
        tuple(f"{what}: {n} times" for what, n in counts.items() if n != 1),
        incident.reason,
    )


def _open(site: Site, run: str) -> str:
    """What a run that does not end waits for."""
    with site.store() as store:
        stored = store.load(run)
        steps = stored.incident.steps if stored else ()
        left = [f"{e.operation} on {e.machine} by {e.agent}" for e in steps if e.outcome is None]
        said = [each.text for each in store.timeline(run)][-3:]
    return "; ".join(("; ".join(left), *said))


def await_step(site: Site, run: str, step: Step) -> None:
    with site.store() as store:

        def in_the_middle() -> bool:
            stored = store.load(run)
            return stored is not None and _begun(stored.incident.steps, step)

        wait_for(f"{step.operation} on {step.machine}", in_the_middle, seconds=60, pause=0.02)


def _begun(records: Sequence[StepRecord], step: Step) -> bool:
    """Whether all before it in its branch are in; a step is reported only when it has ended."""
    own = next((each for each in records if each.number == step.number), None)
    if own is None:
        return False
    before = [e for e in records if e.branch == own.branch and e.number < step.number]
    return all(each.outcome is not None for each in before)


def _kill(site: ColdSite, victim: str, step: Step) -> None:
    match victim:
        case "broker":
            site.broker.kill()
            time.sleep(BROKER_SECONDS)
            site.broker.start()
        case "broker for good":
            site.broker.kill()
        case "coordinator":
            site.kill_process("coordinator")
        case "agent":
            site.kill_agent(step.agent)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="one of those who are killed")
    parser.add_argument("--steps", default="", help="part of a step's operation and machine")
    given = parser.parse_args()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.default_int_handler)
    cells: list[Cell] = []
    with tempfile.TemporaryDirectory(prefix="adr-kills-") as place, kill_site(Path(place)) as site:
        for step in steps(site):
            for victim in VICTIMS:
                if given.only in ("", victim) and given.steps in _name(step):
                    cells.append(kill_at(site, victim, step))
                    _print(cells[-1])
                    _keep(cells[-1])
    print(f"passed {sum(each.passed for each in cells)} of {len(cells)}")
    return 0 if all(each.passed for each in cells) else 1


def _name(step: Step) -> str:
    return f"{step.operation} {step.machine}"


def _print(cell: Cell) -> None:
    verdict = "ok" if cell.passed else f"FAILED: {cell.state}, {cell.reason}, {cell.twice}"
    way = "SSH" if cell.over_ssh else ""
    print(f"{cell.step:<28} {cell.victim:<16} {cell.seconds:6.1f} s {way:<4} {verdict}", flush=True)


def _keep(cell: Cell) -> None:
    """At once, because a whole table takes an hour."""
    OUTPUT.parent.mkdir(exist_ok=True)
    known = json.loads(OUTPUT.read_text()) if OUTPUT.exists() else {}
    known[f"{cell.step} | {cell.victim}"] = {
        "seconds": round(cell.seconds, 1),
        "passed": cell.passed,
        "over_ssh": cell.over_ssh,
    }
    OUTPUT.write_text(json.dumps(known, indent=1))


if __name__ == "__main__":
    sys.exit(main())
