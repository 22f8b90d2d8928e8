"""`incident`: list and show.

What lives here: these commands. What must not: anything about runs that runs.py shows.
"""

from __future__ import annotations

import click

from orchestrator.commands import home
from orchestrator.commands.api import Client
from orchestrator.commands.ending import json_option, print_json
from orchestrator.commands.runs import print_runs, print_whole
from orchestrator.commands.text import word


@click.group()
def incident() -> None:
    """Incidents: list, show."""


@incident.command("list")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 100))
@json_option
def list_incidents(limit: int, as_json: bool) -> None:
    """The newest incidents."""
    found = Client(home.settings()).get("/api/v1/incidents", limit=limit)
    if as_json:
        print_json(found)
        return
    if not found["incidents"]:
        click.echo("no incident yet")
        return
    print_runs("INCIDENT", "id", found["incidents"])


@incident.command()
@click.argument("incident_id", metavar="ID")
@json_option
def show(incident_id: str, as_json: bool) -> None:
    """An incident with its timeline and steps."""
    client = Client(home.settings())
    found = client.get(f"/api/v1/incidents/{incident_id}")
    if as_json:
        print_json(found)
        return
    click.echo(f"incident {found['id']} of {found['service']}, {word(found['health']).plain} now")
    shown = {**found, "id": found["run"]}
    print_whole(shown, client.get(f"/api/v1/plans/{found['scenario']}"))
