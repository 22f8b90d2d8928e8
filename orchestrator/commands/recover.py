"""`recover`: start a run and follow it.

What lives here: the command. What must not: how a run is shown (follow.py).
"""

from __future__ import annotations

import os
import sys
import uuid

import click

from orchestrator.commands import follow, home
from orchestrator.commands.api import Client
from orchestrator.commands.ending import json_option, print_json
from orchestrator.commands.text import console


@click.command()
@click.argument("scenario")
@click.option("--reason", default="by hand", show_default=True, help="Why; kept in the timeline.")
@click.option("--no-wait", is_flag=True, help="Start the run and do not follow it.")
@click.option("--dry-run", is_flag=True, help="Show what would be done; nothing is sent.")
@click.option(
    "--direct", is_flag=True, help="From here over SSH: without broker, agents or coordinator."
)
@json_option
def recover(
    scenario: str, reason: str, no_wait: bool, dry_run: bool, direct: bool, as_json: bool
) -> None:
    """Start a run of SCENARIO and follow it.

    Ctrl-C stops following; the run goes on. Ends with 0 when the services were seen healthy
    from outside, 3 when a person is needed, 4 when a rung waits for approval, 5 when it took
    longer than the objectives allow, 6 when the coordinator cannot be reached.
    """
    if dry_run:
        from orchestrator.commands import plan

        found = plan.planned(scenario)
        if not as_json:
            click.echo("DRY RUN: nothing is sent; a run would do what follows\n")
        plan.show(found, as_json)
        return
    if direct:
        if no_wait:
            raise click.UsageError("--direct does the work itself, so --no-wait has no sense")
        # What carries orders out is not imported here; it takes this process's place.
        words = [scenario, reason, "json" if as_json else "text"]
        os.execv(sys.executable, [sys.executable, "-m", "workers.direct", *words])  # noqa: S606
    client = Client(home.settings())
    run = client.start(scenario, reason, str(uuid.uuid4()))
    out = console()
    if no_wait:
        if as_json:
            print_json(run)
        else:
            follow.print_head(out, run)
            out.print(f"watch it with: autobot-dr run watch {run['id']}", soft_wrap=True)
        return
    if not as_json:
        follow.print_head(out, run)
    watch(client, run["id"], as_json)


def watch(client: Client, run: str, as_json: bool) -> None:
    """Follow a run to its end, show what came of it, leave with its exit code."""
    found = follow.follow(client, run, as_json=as_json)
    if as_json:
        print_json(found)
    else:
        out = console()
        follow.print_steps(out, found)
        follow.print_end(out, found)
    follow.end(found)
