"""`incident`: list, show, ack, note, resolve, close.

What lives here: these commands. What must not: what is written afterwards (reviews.py), and
anything about runs that runs.py shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from orchestrator.commands import home
from orchestrator.commands.api import Client
from orchestrator.commands.ending import json_option, print_json
from orchestrator.commands.reviews import follow_up, review
from orchestrator.commands.runs import print_whole
from orchestrator.commands.text import clock, console, table, word

OVER = ("resolved", "closed")


@click.group()
def incident() -> None:
    """Incidents: list, show, ack, note, resolve, close, review, follow-up."""


incident.add_command(review)
incident.add_command(follow_up)


@incident.command("list")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 100))
@json_option
def list_incidents(limit: int, as_json: bool) -> None:
    """The newest incidents.

    Below those that are closed stands what people still have to write or do.
    """
    found = Client(home.settings()).get("/api/v1/incidents", limit=limit)
    if as_json:
        print_json(found)
        return
    if not found["incidents"]:
        click.echo("no incident yet")
        return
    out = console()
    widest = max(len(each["id"]) for each in found["incidents"])
    out.print(f"{'INCIDENT':<{widest}}  {'STATE':<17}  SINCE", style="bold")
    for each in found["incidents"]:
        line = Text(f"{each['id']:<{widest}}  ")
        line.append_text(word(each["state"]))
        line.append(" " * (17 - len(each["state"])) + f"  {clock(each['since'])}")
        out.print(line, soft_wrap=True)
        about = Text.assemble("  ", _what(each), (f": {each['reason']}", "dim"))
        out.print(about, no_wrap=True, overflow="ellipsis")
        if each["missing"]:
            out.print(Text(f"  review: {', '.join(each['missing'])}", style="yellow"))


def _what(each: Mapping[str, Any]) -> Text:
    """What it is about, whom it concerns, who has it in hand."""
    parts = [Text(each["service"] or each["scenario"], "bold")]
    if each["state"] not in OVER:
        parts.append(word(each["health"]))
    parts.append(word(each["severity"]) if each["severity"] else Text("ordered by a person"))
    if each["acknowledged_by"]:
        parts.append(Text(f"in the hands of {each['acknowledged_by']}"))
    return Text(", ").join(parts)


@incident.command()
@click.argument("incident_id", metavar="ID")
@json_option
def show(incident_id: str, as_json: bool) -> None:
    """An incident with what follows from it, its timeline, steps and calls."""
    found = Client(home.settings()).get(f"/api/v1/incidents/{incident_id}")
    if as_json:
        print_json(found)
        return
    out = console()
    out.print(Text.assemble(f"incident {found['id']}: ", _what(found)), soft_wrap=True)
    _print_failure(out, found)
    out.print()
    print_whole({**found, "id": found["run"]})
    _print_calls(out, found)
    _print_next(out, found)


def _print_failure(out: Console, found: Mapping[str, Any]) -> None:
    if found["cause"]:
        detected = clock(found["detected_at"])
        out.print(f"{found['cause']}, ill since {clock(found['since'])}, detected {detected}")
    for each in found["consequences"]:
        out.print(f"a consequence: {each}", soft_wrap=True)
    for each in found["suppressed"]:
        if each not in found["consequences"]:
            out.print(f"was a consequence: {each}", soft_wrap=True)
    if found["fallback"]:
        out.print(f"the fallback serves: {found['fallback']}", soft_wrap=True)


def _print_calls(out: Console, found: Mapping[str, Any]) -> None:
    if not found["escalation"]:
        return
    rows = (
        (
            clock(each["due_at"]),
            each["kind"],
            each["level"] + 1,
            each["role"],
            each["reach"],
            each["state"],
            "; ".join(filter(None, (each["reason"], each["error"]))),
        )
        for each in found["escalation"]
    )
    out.print()
    out.print(table(("DUE", "CALL", "LEVEL", "WHO", "REACH", "STATE", "ABOUT"), rows))


def _print_next(out: Console, found: Mapping[str, Any]) -> None:
    """What a person can do now, where it is more than what the run says."""
    if found["cause"] and found["state"] not in OVER and not found["acknowledged_by"]:
        out.print(f"take it in hand: autobot-dr incident ack {found['id']}", soft_wrap=True)
    if found["missing"]:
        out.print(f"review: {', '.join(found['missing'])}", soft_wrap=True)
    if found["review"]:
        out.print(f"read it: autobot-dr incident review {found['id']}", soft_wrap=True)


@incident.command()
@click.argument("incident_id", metavar="ID")
@json_option
def ack(incident_id: str, as_json: bool) -> None:
    """Say that you have it in hand; nobody further is called."""
    _say(incident_id, "ack", None, as_json)


@incident.command()
@click.argument("incident_id", metavar="ID")
@click.argument("text")
@json_option
def note(incident_id: str, text: str, as_json: bool) -> None:
    """Write a line into the timeline."""
    _say(incident_id, "notes", {"text": text}, as_json)


@incident.command()
@click.argument("incident_id", metavar="ID")
@click.option("--reason", required=True, help="What you did; kept in the timeline.")
@json_option
def resolve(incident_id: str, reason: str, as_json: bool) -> None:
    """Say that it is resolved; if it is not, the watcher reopens it."""
    _say(incident_id, "resolve", {"reason": reason}, as_json)


@incident.command()
@click.argument("incident_id", metavar="ID")
@click.option("--reason", required=True, help="Why; kept in the timeline.")
@json_option
def close(incident_id: str, reason: str, as_json: bool) -> None:
    """Close an incident that is resolved or escalated."""
    _say(incident_id, "close", {"reason": reason}, as_json)


def _say(incident_id: str, verb: str, body: Mapping[str, Any] | None, as_json: bool) -> None:
    found = Client(home.settings()).post(f"/api/v1/incidents/{incident_id}/{verb}", body)
    if as_json:
        print_json(found)
        return
    out = console()
    out.print(Text.assemble(word(found["state"]), f": {found['reason']}"), soft_wrap=True)
    if found["acknowledged_by"] and found["state"] not in OVER:
        out.print(f"in the hands of {found['acknowledged_by']}; nobody further is called")
    if found["missing"]:
        out.print(f"write its review: autobot-dr incident review {incident_id}", soft_wrap=True)
