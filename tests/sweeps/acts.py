"""What the sweep and the fleet tests do with a case: break it, wait, and see what was done.

What lives here: the acts, on a watched fleet. What must not: cases, and printing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.sweeps.cases import Case, Forbearance
from tests.sweeps.watched import Times, Watched, times

#: Steps that change something on a machine.
ACTING = ("service.restart", "service.start", "service.stop", "process.stop", "vm.start",
          "vm.restart", "vm.stop", "redis.mend", "ollama.pull_missing")  # fmt: skip


@dataclass(frozen=True)
class Broken:
    """When a fault was begun, and when all of it was made."""

    began: float
    complete: float


def break_it(fleet: Watched, case: Case) -> Broken:
    """Break what the case says."""
    began = time.time()
    targets = list(fleet.lab.machines) if case.target == "*" else [case.target]
    for target in targets:
        fleet.lab.break_(case.kind, target)
    # One fault counts from its beginning; of several, the failure is complete with the last.
    return Broken(began, time.time() if len(targets) > 1 else began)


def recovered(fleet: Watched, case: Case, fault: Broken) -> Times:
    """The times of the incident that came of it, once it was resolved by itself."""
    service = case.service or "fleet"
    incident = fleet.await_incident(
        service,
        fault.began,
        ("resolved", "closed", "escalated", "awaiting_approval"),
        case.seconds,
    )
    run = fleet.run(incident)
    told = "\n".join(f"{each['at']} {each['text']}" for each in run["timeline"])
    assert incident["state"] in ("resolved", "closed"), told
    assert incident["scenario"] == case.scenario, told
    assert run["steps"], f"it came back without us:\n{told}"
    return times(run, fault.complete)


def forbear(fleet: Watched, case: Forbearance) -> None:
    """The trouble, for its whole length, and its end where it does not end by itself."""
    began = time.time()
    timed = case.kind in ("loading", "initialising")
    fleet.lab.break_(case.kind, case.target, seconds=case.lasts if timed else None)
    time.sleep(max(0.0, began + case.lasts - time.time()))
    if case.service:
        found = fleet.of(case.service, began)
        assert found is not None, "nobody noticed"


def nothing_restarted(fleet: Watched, since: float) -> None:
    acts = [
        (run["scenario"], step["operation"], step["machine"])
        for incident in fleet.since(since)
        for run in [fleet.run(incident)]
        for step in _acting(run)
    ]
    assert not acts, acts


def _acting(run: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [each for each in run["steps"] if each["operation"] in ACTING]
