"""`maintenance`: start, stop, list.

What lives here: these commands. What must not: what a window forbids; the coordinator knows.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import click
from rich.text import Text

from orchestrator.commands import home
from orchestrator.commands.api import Client
from orchestrator.commands.ending import json_option, print_json
from orchestrator.commands.text import clock, console, table
from orchestrator.schema import seconds
from orchestrator.windows import LONGEST_SECONDS


class Duration(click.ParamType[float]):
    """Text such as 2 h, with or without the space; no longer than a window may be."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            given = float(seconds(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if given > LONGEST_SECONDS:
            self.fail(f"must be at most {LONGEST_SECONDS / 86400:g} d, not {value!r}", param, ctx)
        return given


@click.group()
def maintenance() -> None:
    """Maintenance windows: start, stop, list.

    Nothing is recovered by itself in one; watching goes on. What a person orders is done.
    """


@maintenance.command()
@click.argument("target", default="")
@click.option(
    "--for", "for_s", required=True, type=Duration(), help="As in 30 min, 2 h; at most 30 d."
)
@click.option("--reason", required=True, help="Why; shown wherever it holds something up.")
@json_option
def start(target: str, for_s: float, reason: str, as_json: bool) -> None:
    """Begin a window now.

    TARGET is a service or a machine; without it, the window is for the whole fleet.
    """
    body = {"target": target, "for_s": for_s, "reason": reason}
    found = Client(home.settings()).post("/api/v1/maintenance", body, str(uuid.uuid4()))
    if as_json:
        print_json(found)
        return
    out = console()
    out.print(f"{_what(found)} is in maintenance until {clock(found['ends_at'])}", soft_wrap=True)
    out.print(f"end it sooner: autobot-dr maintenance stop {found['id']}", soft_wrap=True)


@maintenance.command()
@click.argument("window_id", metavar="ID")
@json_option
def stop(window_id: str, as_json: bool) -> None:
    """End a window now."""
    found = Client(home.settings()).post(f"/api/v1/maintenance/{window_id}/stop")
    if as_json:
        print_json(found)
        return
    console().print(f"the maintenance of {_what(found)} ended {clock(found['ends_at'])}")


@maintenance.command("list")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 100))
@json_option
def list_windows(limit: int, as_json: bool) -> None:
    """The windows that run, then those that are over."""
    found = Client(home.settings()).get("/api/v1/maintenance", limit=limit)
    if as_json:
        print_json(found)
        return
    if not found["windows"]:
        click.echo("no maintenance; `autobot-dr maintenance start` begins a window")
        return
    rows = (
        (
            each["id"],
            each["target"] or "(fleet)",
            Text("running", "yellow") if each["running"] else Text("over", "dim"),
            clock(each["starts_at"]),
            clock(each["ends_at"]),
            f"{each['by']}: {each['reason']}",
        )
        for each in found["windows"]
    )
    console().print(table(("ID", "TARGET", "STATE", "FROM", "UNTIL", "BY AND WHY"), rows))


def _what(window: Mapping[str, Any]) -> str:
    return window["target"] or "the fleet"
