"""`plan`: what a run would do, readable and doable by hand.

What lives here: showing a plan's shape as text. What must not: compiling it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from orchestrator.commands import home
from orchestrator.commands.ending import Exit, Stop, faulty, json_option, print_json
from orchestrator.commands.text import console
from orchestrator.config import load
from orchestrator.web.planshape import PlanShape, plan_shape
from orchestrator.wording import duration

_APPROVAL = {
    "auto": "starts by itself",
    "ask": "waits for approval",
    "never": "is for people only",
}


@click.command()
@click.argument("scenario")
@json_option
def plan(scenario: str, as_json: bool) -> None:
    """Show what a run of SCENARIO would do.

    Rungs, waves, steps, deadlines, exact commands. Changes nothing and needs no coordinator.
    Each line under a step is what is done on the machine, so that it can be done by hand.
    """
    show(planned(scenario), as_json)


def planned(scenario: str) -> PlanShape:
    """The plan from the files at hand."""
    given = home.settings()
    found = load(given.fleet, given.runbooks)
    if isinstance(found, tuple):
        raise faulty(found)
    if scenario not in found.plans:
        known = ", ".join(sorted(found.plans))
        raise Stop(Exit.USAGE, f"there is no scenario {scenario!r} (known: {known})")
    return plan_shape(found.plans[scenario], found.scenarios[scenario], found.fleet)


def show(found: PlanShape, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    out = console()
    _head(out, found)
    for number, rung in enumerate(found["rungs"], 1):
        out.print()
        title = Text(f"RUNG {number} of {len(found['rungs'])}  {rung['title']}", style="bold cyan")
        out.print(title)
        out.print(
            f"  {_APPROVAL[rung['approval']]}, lasts {duration(rung['longest_s'])} at most; "
            "a rung that is verified ends the run"
        )
        for line in waves(rung):
            # Long commands stay whole, so that they can be copied.
            out.print(line, soft_wrap=True)


def _head(out: Console, found: PlanShape) -> None:
    expected = [duration(each) for each in found["estimate_s"]]
    out.print(Text(f"{found['title']} (scenario {found['scenario']})", style="bold"))
    out.print(f"  impact     {found['impact']}")
    for index, symptom in enumerate(found["symptoms"]):
        out.print(f"  {'symptoms' if not index else '':9}  {symptom}")
    out.print(f"  brings     {', '.join(found['services'])} back, verified from outside")
    out.print(
        f"  expected   {' to '.join(expected)}; objective {duration(found['rto_target_s'])}, "
        f"at most {duration(found['rto_maximum_s'])}"
    )


def waves(rung: Mapping[str, Any]) -> Iterator[Text]:
    """The lines of one rung."""
    waves = rung["waves"]
    for number, branches in enumerate(waves, 1):
        if len(waves) > 1:
            names = ", ".join(each["name"] for each in branches)
            yield Text(f"\n  WAVE {number} of {len(waves)}: {names}", style="bold")
        for branch in branches:
            yield from _branch(branch, named=len(waves) > 1)


def _branch(branch: Mapping[str, Any], *, named: bool) -> Iterator[Text]:
    yield Text()
    if named:
        yield Text(f"  {branch['name']}{_when(branch)}", style="cyan")
    for step in branch["steps"]:
        yield _step(step)
        for command in step["commands"]:
            yield Text(f"          {command}", style="dim")
    yield Text(f"      then looks from outside, for up to {duration(branch['check_seconds'])}, at")
    for check in branch["checks"]:
        optional = "" if check["required"] else " (optional)"
        yield Text(f"          {check['service']}{optional}: {_asked(check)}", style="dim")


def _when(branch: Mapping[str, Any]) -> str:
    """What it waits for, and what its failure holds up."""
    optional = " (optional: only what needs it waits for it)" if branch["optional"] else ""
    start = f", as soon as {_names(branch['needs'])} passed" if branch["needs"] else ""
    ended = f" and {_names(branch['awaits'])} ended" if branch["awaits"] else ""
    return f"{optional}{start}{ended}"


def _names(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), *names[-1:]] if len(names) > 1 else names)


def _step(step: Mapping[str, Any]) -> Text:
    where = f"on {step['machine']}"
    if step["agent"] != step["machine"]:
        where += f", from {step['agent']}"
    line = Text(f"   {step['number'] + 1:>3}. ")
    line.append(f"{step['operation']:<22}", style="bold")
    begun = duration(step["begins_by_s"])
    line.append(f" {where:<24} at most {duration(step['seconds'])}, begun within {begun}")
    return line


def _asked(check: Mapping[str, Any]) -> str:
    given = check["arguments"]
    where = given.get("url") or ":".join(str(given[k]) for k in ("address", "port") if k in given)
    return f"{check['probe']} {where}".strip()
