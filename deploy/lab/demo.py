"""`make demo`: a fleet boots, all of it fails, AutoBot DR brings it back and says how fast.

What lives here: the story, told with the same commands that an operator types. What must not:
any judgement of our own; whether the fleet is back is what `recover` and `status` say from
outside, and how long it had to take is what the machines' own clocks say.
"""

from __future__ import annotations

import sys
import time

from deploy.lab import LabFault, measure
from deploy.lab.lab import default_home, prepare, why_not
from deploy.lab.machines import AGENT
from deploy.lab.stage import Theatre

GOAL = 1.25
SEEN_SECONDS = 40.0


def say(text: str) -> None:
    print(text, flush=True)


def choose(wanted: str) -> str:
    """The driver to use: real machines where they can be had, unless one is named."""
    if wanted:
        say(f"lab: {wanted}, as told")
        return wanted
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
    # This story is told by hand; the watcher would begin by itself.
    theatre.ask("maintenance", "start", "--for", "1h", "--reason", "the demo recovers by hand")
    say("\nNow everything fails: all six machines lose their power at once.\n")
    theatre.lab.break_("everything-down")
    theatre.autobot("status")
    say("")
    code = theatre.autobot("recover", "full-system", "--reason", "all machines lost power")
    say("")
    await_healthy(theatre)
    seen = theatre.autobot("status")
    say("")
    if code == 0:
        tell_figure(theatre)
    return code or seen


def await_healthy(theatre: Theatre) -> None:
    """Until the watcher, who wants to see everything twice, agrees; status says if it does not."""
    ends = time.monotonic() + SEEN_SECONDS
    while time.monotonic() < ends and theatre.call(*theatre.command("status")).returncode:
        time.sleep(0.5)


def tell_figure(theatre: Theatre) -> None:
    """The time it took against the time that the machines themselves needed."""
    runs = theatre.ask("run", "list")["runs"]
    # The newest with steps: the watcher's own incident of the failure has none, and ends later.
    ended = (each for each in runs if each["steps"] and each["rta_s"] is not None)
    took = float(next(ended)["rta_s"])
    times = theatre.lab.boot_times()
    path = measure.critical_path(times, theatre.needs())
    agents = sum(each.units.get(AGENT, 0) for each in times if each.machine in path.machines)
    verdict = "met" if took <= GOAL * path.seconds else "missed"
    ratio, route = took / path.seconds, " → ".join(path.machines)
    say(f"from complete failure to verified   {took:6.2f} s")
    say(f"the machines' own critical path     {path.seconds:6.2f} s  ({route})")
    say(f"  of which our agents' starts       {agents:6.2f} s  (units of the machines' boot)")
    say(f"ratio                               {ratio:6.2f}    (goal {GOAL}, {verdict})")


def main(wanted: str) -> int:
    home = default_home().parent / "demo"
    try:
        lab = prepare(choose(wanted), home / "lab", tell=say)
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
    sys.exit(main("".join(sys.argv[1:2])))
