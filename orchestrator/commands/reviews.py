"""`incident review` and `incident follow-up`: what is learned from an incident.

What lives here: these commands. What must not: what a review says; the coordinator makes it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click
from rich.markdown import Markdown
from rich.text import Text

from orchestrator.commands import home
from orchestrator.commands.api import Client
from orchestrator.commands.ending import json_option, print_json
from orchestrator.commands.text import clock, console, table


@click.command()
@click.argument("incident_id", metavar="ID")
@click.option("--root-cause", metavar="TEXT", help="Write the root cause; the newest one holds.")
@click.option("--lesson", metavar="TEXT", multiple=True, help="Write a lesson; may be repeated.")
@click.option("--html", "as_html", is_flag=True, help="Print a page of HTML, to be kept.")
@json_option
def review(
    incident_id: str,
    root_cause: str | None,
    lesson: tuple[str, ...],
    as_html: bool,
    as_json: bool,
) -> None:
    """The post-incident review: read it, or write into it.

    Into a file it is Markdown: `autobot-dr incident review ID > review.md`.
    """
    client, place = Client(home.settings()), f"/api/v1/incidents/{incident_id}"
    written = [("root_cause", root_cause)] if root_cause is not None else []
    for about, text in [*written, *(("lesson", each) for each in lesson)]:
        client.post(f"{place}/findings", {"about": about, "text": text})
    if as_json:
        print_json(client.get(f"{place}/review"))
    elif as_html:
        click.echo(client.text("GET", f"{place}/review.html"), nl=False)
    elif sys.stdout.isatty():
        console().print(Markdown(client.text("GET", f"{place}/review.md")))
    else:
        click.echo(client.text("GET", f"{place}/review.md"), nl=False)


@click.group("follow-up")
def follow_up() -> None:
    """What is to be done after incidents: add, done, list."""


@follow_up.command()
@click.argument("incident_id", metavar="ID")
@click.argument("text")
@click.option("--owner", default="", help="Who does it.")
@json_option
def add(incident_id: str, text: str, owner: str, as_json: bool) -> None:
    """Write down what is to be done after incident ID."""
    body = {"text": text, "owner": owner}
    found = Client(home.settings()).post(f"/api/v1/incidents/{incident_id}/follow-ups", body)
    if as_json:
        print_json(found)
        return
    out = console()
    out.print(f"follow-up {found['number']}: {found['text']}", soft_wrap=True)
    out.print(f"once it is done: autobot-dr incident follow-up done {found['number']}")


@follow_up.command()
@click.argument("number", type=int)
@json_option
def done(number: int, as_json: bool) -> None:
    """Say that follow-up NUMBER is done."""
    found = Client(home.settings()).post(f"/api/v1/follow-ups/{number}/done")
    if as_json:
        print_json(found)
        return
    text = f"done {clock(found['done_at'])} by {found['done_by']}: {found['text']}"
    console().print(text, soft_wrap=True)


@follow_up.command("list")
@click.option("--of", "incident_id", metavar="ID", help="All of one incident, also what is done.")
@json_option
def list_follow_ups(incident_id: str | None, as_json: bool) -> None:
    """What is still to be done, of all incidents."""
    place = f"/incidents/{incident_id}/follow-ups" if incident_id else "/follow-ups"
    found = Client(home.settings()).get(f"/api/v1{place}")
    if as_json:
        print_json(found)
        return
    if not found["follow_ups"]:
        click.echo("nothing is left to be done")
        return
    rows = (
        (
            each["number"],
            _state(each),
            each["owner"] or "nobody",
            Text.assemble(each["text"], (f"\n{each['incident']}", "dim")),
        )
        for each in found["follow_ups"]
    )
    console().print(table(("NUMBER", "STATE", "OWNER", "WHAT AND AFTER WHICH INCIDENT"), rows))


def _state(each: Mapping[str, Any]) -> str:
    return f"done {clock(each['done_at'])}" if each["done_at"] else f"since {clock(each['at'])}"
