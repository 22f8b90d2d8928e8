"""`run`: list, show, watch, approve, cancel, resume.

What lives here: these commands. What must not: how a run is followed (follow.py).
"""

from __future__ import annotations

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
    """Stop a run.

    A step that an agent has begun is still finished and reported.
    """
    _act("cancel", run_id, as_json)


@run.command()
@click.argument("run_id", metavar="ID")
@json_option
def resume(run_id: str, as_json: bool) -> None:
    """Let an escalated run try its rung once more."""
    _act("resume", run_id, as_json)


def _act(verb: str, run_id: str, as_json: bool) -> None:
    found = Client(home.settings()).post(f"/api/v1/runs/{run_id}/{verb}")
    if as_json:
        print_json(found)
        return
    out = console()
    out.print(word(found["state"]), end="")
    out.print(f": {found['reason']}")
    if found["state"] not in follow.ENDED:
        out.print(f"watch it with: autobot-dr run watch {run_id}", soft_wrap=True)
