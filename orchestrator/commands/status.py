"""`status`: the health of every service and machine.

What lives here: the command. What must not: judging health; the coordinator does that.
"""

from __future__ import annotations

import click
from rich.text import Text

from orchestrator.commands import home
from orchestrator.commands.api import Client
from orchestrator.commands.ending import Exit, Stop, json_option, print_json
from orchestrator.commands.text import clock, console, duration, table, word

SERVES = ("healthy", "degraded")


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
        out = console()
        head = Text.assemble("fleet ", (found["fleet"], "bold"), " is ", word(found["health"]))
        out.print(Text.assemble(head, f", seen from outside at {clock(found['at'])}"))
        out.print()
        services = (
            (
                each["name"] + (" (optional)" if each["optional"] else ""),
                each["machine"],
                word(each["health"]),
                duration(each["reading"]["age_s"]),
                each["reason"],
            )
            for each in found["services"]
        )
        out.print(table(("SERVICE", "MACHINE", "HEALTH", "AGE", "REASON"), services))
        out.print()
        machines = (
            (
                each["name"],
                each["address"],
                word(each["health"]),
                ", ".join(each["services"]) or each["reason"],
            )
            for each in found["machines"]
        )
        out.print(table(("MACHINE", "ADDRESS", "HEALTH", "SERVICES"), machines))
    if found["health"] not in SERVES:
        raise Stop(Exit.FAILED)
