"""`run`: list, show, watch, approve, cancel, resume.

What lives here: these commands. What must not: how a run is followed (follow.py).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.text import Text

from orchestrator.commands import follow, home
from orchestrator.commands.api import Client
from orchestrator.commands.ending import json_option, print_json
from orchestrator.commands.recover import watch as watch_run
from orchestrator.commands.text import clock, console, word
from orchestrator.wording import duration

#: How long `cancel` waits for what an agent is at: most of it ends within a second or two.
CANCEL_SECONDS = 20.0
SHOWN_LINES = 15  #: of each piece of evidence; --json has all


@click.group()
def run() -> None:
    """Runs: list, show, watch, approve, cancel, resume."""


@run.command("list")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 100))
@json_option
def list_runs(limit: int, as_json: bool) -> None:
    """The newest runs."""
    found = Client(home.settings()).get("/api/v1/runs", limit=limit)
    if as_json:
        print_json(found)
        return
    if not found["runs"]:
        click.echo("no run yet; `autobot-dr recover SCENARIO` starts one")
        return
    print_runs("RUN", "id", found["runs"])


def print_runs(head: str, key: str, found: Sequence[Mapping[str, Any]]) -> None:
    """Two lines for each: a run's id alone takes a third of a terminal's width."""
    widest = max(len(each[key]) for each in found)
    longest = max(len(each["scenario"]) for each in found)
    out = console()
    out.print(
        f"{head:<{widest}}  {'SCENARIO':<{max(longest, 8)}}  {'STATE':<17}  {'OPENED':<20}  RTA",
        style="bold",
    )
    for each in found:
        line = Text(f"{each[key]:<{widest}}  {each['scenario']:<{max(longest, 8)}}  ")
        line.append_text(word(each["state"]))
        line.append(" " * (17 - len(each["state"])))
        line.append(f"  {clock(each['opened_at']):<20}  {duration(each['rta_s'])}".rstrip())
        out.print(line, soft_wrap=True)
        out.print(Text(f"  {each['reason']}", style="dim"), no_wrap=True, overflow="ellipsis")


@run.command()
@click.argument("run_id", metavar="ID")
@json_option
def show(run_id: str, as_json: bool) -> None:
    """A run with its timeline and steps."""
    found = Client(home.settings()).get(f"/api/v1/runs/{run_id}")
    if as_json:
        print_json(found)
        return
    print_whole(found)


def print_whole(found: Mapping[str, Any]) -> None:
    out = console()
    follow.print_head(out, found)
    for entry in found["timeline"]:
        follow.print_entry(out, entry, found["opened_at"], SHOWN_LINES)
    follow.print_steps(out, found)
    follow.print_end(out, found)


@run.command()
@click.argument("run_id", metavar="ID")
@json_option
def watch(run_id: str, as_json: bool) -> None:
    """Follow a run from its first line.

    Until it is over or needs a person; the exit codes are those of recover.
    """
    watch_run(Client(home.settings()), run_id, as_json)


@run.command()
@click.argument("run_id", metavar="ID")
@json_option
def approve(run_id: str, as_json: bool) -> None:
    """Let the rung begin that waits for approval."""
    _act("approve", run_id, as_json)


@run.command()
@click.argument("run_id", metavar="ID")
@json_option
def cancel(run_id: str, as_json: bool) -> None:
    """Stop a run, and wait until what is out has ended.

    Nothing further is begun. Of what an agent is at, copies and waits are ended and put away; a
    step that half done would be worse than done is finished. `run resume` goes on.
    """
    client = Client(home.settings())
    found = client.post(f"/api/v1/runs/{run_id}/cancel")
    ends = time.monotonic() + CANCEL_SECONDS
    while follow.still_out(found) and time.monotonic() < ends:
        time.sleep(0.2)
        found = client.get(f"/api/v1/runs/{run_id}")
    _show_act(found, as_json)


@run.command()
@click.argument("run_id", metavar="ID")
@json_option
def resume(run_id: str, as_json: bool) -> None:
    """Let an escalated run try its rung once more."""
    _act("resume", run_id, as_json)


def _act(verb: str, run_id: str, as_json: bool) -> None:
    _show_act(Client(home.settings()).post(f"/api/v1/runs/{run_id}/{verb}"), as_json)


def _show_act(found: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    run_id, out = found["id"], console()
    out.print(word(found["state"]), end="")
    out.print(f": {found['reason']}")
    for step in found["steps"]:
        if step["outcome"] and step["outcome"] != "done":
            what = f"{step['operation']} on {step['machine']}: "
            out.print(Text.assemble(what, word(step["outcome"]), f": {step['reason']}"))
    if left := follow.still_out(found):
        out.print(f"still at it: {', '.join(left)}; `autobot-dr run show {run_id}` shows its end")
    if found["state"] not in follow.ENDED:
        out.print(f"watch it with: autobot-dr run watch {run_id}", soft_wrap=True)
