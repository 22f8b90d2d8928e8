"""`make sweep`: every fault of the table on real machines, with the times of what followed.

What lives here: running the cases and printing what was seen; `build/sweep.json` keeps it. What
must not: the cases themselves (cases.py). A case that fails is printed as such, and the next
one begins on a mended fleet; the exit code says whether all passed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from statistics import quantiles

from deploy.lab import LabFault
from tests.sweeps.acts import break_it, forbear, nothing_restarted, recovered
from tests.sweeps.cases import CASES, FORBEARANCES, Case, Forbearance
from tests.sweeps.watched import Watched, watched

OUTPUT = Path("build/sweep.json")
COLUMNS = ("detect", "decide", "effect", "done", "verify")
HEAD = f"{'scenario':<12} {'way':<34} {' '.join(f'{each:>7}' for each in COLUMNS)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="part of a scenario's or way's name")
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args()
    cases = [e for e in CASES if given.only in f"{e.scenario} {e.way}"] * given.rounds
    quiet = [each for each in FORBEARANCES if given.only in f"nothing {each.name}"]
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="adr-sweep-") as place, watched(Path(place)) as fleet:
        print(HEAD, flush=True)
        rows += [_recovered(fleet, each) for each in cases]
        rows += [_forborne(fleet, each) for each in quiet]
    _sum_up(rows)
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps(rows, indent=1))
    return 0 if all(each["passed"] for each in rows) else 1


def _recovered(fleet: Watched, case: Case) -> dict[str, object]:
    row: dict[str, object] = {"scenario": case.scenario, "way": case.way, "passed": False}
    try:
        took = recovered(fleet, case, break_it(fleet, case))
        row |= {"passed": True, **asdict(took)}
        times = (took.detected, took.decided, took.first_effect, took.executed, took.verified)
        said = " ".join(f"{each:7.1f}" for each in times)
        print(f"{case.scenario:<12} {case.way:<34} {said}", flush=True)
    except (AssertionError, LabFault, TimeoutError, LookupError) as error:
        _failed(row, case.scenario, case.way, error)
    _mend(fleet)
    return row


def _forborne(fleet: Watched, case: Forbearance) -> dict[str, object]:
    row: dict[str, object] = {"scenario": "nothing", "way": case.name, "passed": False}
    try:
        began = time.time()
        forbear(fleet, case)
        nothing_restarted(fleet, began)
        row |= {"passed": True, "lasted": time.time() - began}
        print(f"{'nothing':<12} {case.name:<34} restarted in {case.lasts:.0f} s", flush=True)
    except (AssertionError, LabFault, TimeoutError, LookupError) as error:
        _failed(row, "nothing", case.name, error)
    _mend(fleet)
    return row


def _failed(row: dict[str, object], scenario: str, way: str, error: Exception) -> None:
    row["error"] = str(error)
    print(f"{scenario:<12} {way:<34} FAILED: {str(error)[:2000]}", flush=True)
    traceback.print_exception(error, file=sys.stderr)


def _mend(fleet: Watched) -> None:
    fleet.lab.mend()
    try:
        fleet.await_peace(300)
    except AssertionError as restless:
        print(f"no peace after it: {restless}", flush=True)


def _sum_up(rows: list[dict[str, object]]) -> None:
    found = [float(str(each["detected"])) for each in rows if "detected" in each]
    if len(found) > 1:
        p95 = quantiles(found, n=20)[-1]
        print(f"\ndetection: p95 {p95:.1f} s over {len(found)} faults (interval 5 s, time-out 3 s)")
    print(f"passed {sum(bool(each['passed']) for each in rows)} of {len(rows)}")


if __name__ == "__main__":
    raise SystemExit(main())
