"""`status`: the health of every service and machine.

What lives here: the command. What must not: judging health; the coordinator does that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click
from rich.text import Text

from orchestrator.commands import home, timemachine
from orchestrator.commands.api import Client
from orchestrator.commands.ending import Exit, Stop, json_option, print_json, tell
from orchestrator.commands.text import between, clock, console, table, word
from orchestrator.wording import duration


@click.command()
@json_option
def status(as_json: bool) -> None:
    """The health of every service and machine.

    With the reason and the age of each reading, seen from where the coordinator is. Ends with 0
    when every service that is not optional was seen healthy, else with 3.
    """
    found = Client(home.settings()).get("/api/v1/status")
    if as_json:
        print_json(found)
    else:
        _show(found)
    if any(each["health"] != "healthy" for each in found["services"] if not each["optional"]):
        raise Stop(Exit.FAILED)


def _show(found: Mapping[str, Any]) -> None:
    out, at = console(), found["at"]
    head = Text.assemble("fleet ", (found["fleet"], "bold"), " is ", word(found["health"]))
    how = "watched from outside" if found["watched"] else "seen from outside by one look"
    out.print(Text.assemble(head, f", {how} at {clock(at)}"))
    everywhere = _everywhere([*found["services"], *found["machines"]])
    if everywhere:
        out.print(Text(_window(everywhere), style="dim"))
    out.print()
    services = (_service(each, at, _said(each, everywhere)) for each in found["services"])
    out.print(table(("SERVICE", "MACHINE", "HEALTH", "FOR", "AGE", "REASON"), services))
    out.print()
    machines = (_machine(each, at, _said(each, everywhere)) for each in found["machines"])
    out.print(table(("MACHINE", "ADDRESS", "HEALTH", "FOR", "AGE", "REASON"), machines))
    if found["captures"]:
        out.print()
        timemachine.show_ranges(found["captures"])
    if found["unread"]:
        tell(found["unread"])
    by = found["coordinator"]
    if by["role"] == "standby":
        leader = f"{by['leader']} leads, at {by['leader_url']}" if by["leader"] else "nobody leads"
        tell(f"asked {by['name']}, which stands by: {leader}")
    if by["complaint"]:
        tell(by["complaint"])


def _service(each: Mapping[str, Any], at: str, said: Text) -> tuple[str | Text, ...]:
    return (
        each["name"] + (" (optional)" if each["optional"] else ""),
        each["machine"],
        word(each["health"]),
        duration(between(each["since"], at)) or "-",
        duration(each["reading"]["age_s"]) if each["reading"] else "-",
        said,
    )


def _machine(each: Mapping[str, Any], at: str, said: Text) -> tuple[str | Text, ...]:
    return (
        each["name"],
        each["address"],
        word(each["health"]),
        duration(between(each["since"], at)) or "-",
        "-" if each["age_s"] is None else duration(each["age_s"]),
        said,
    )


def _everywhere(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The maintenance window that all of them are in, which need not be said of each."""
    first: Mapping[str, Any] | None = next((each["maintenance"] for each in rows), None)
    return first if all(each["maintenance"] == first for each in rows) else None


def _said(each: Mapping[str, Any], everywhere: Mapping[str, Any] | None) -> Text:
    """The reason, and on a line of its own whatever else matters."""
    said = Text(each["reason"])
    for line in _more(each, everywhere):
        said.append(f"\n{line}", style="dim")
    return said


def _more(each: Mapping[str, Any], everywhere: Mapping[str, Any] | None) -> Iterator[str]:
    if each.get("because"):
        yield f"a consequence of {each['because']}"
    if each.get("hold"):
        yield f"nothing is started: {each['hold']}"
    if each.get("fallback"):
        yield f"its fallback serves: {each['fallback']}"
    if each["incident"]:
        yield f"incident {each['incident']}"
    if each["maintenance"] and each["maintenance"] != everywhere:
        yield _window(each["maintenance"])


def _window(window: Mapping[str, Any]) -> str:
    until = clock(window["ends_at"])
    return f"maintenance until {until} by {window['by']}: {window['reason']}"
