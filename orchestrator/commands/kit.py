"""`backup kit`: the folder with which a stranger restores everything without this program.

What lives here: this command. What must not: making the kit (kitmaking.py). It asks no coordinator:
on the day that one is made by hand, there may be none.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

import click

from orchestrator.commands import home
from orchestrator.commands.ending import Exit, Stop, faulty, json_option, print_json, tell
from orchestrator.config import load
from orchestrator.kitkeeping import KitNotPlaced, write


@click.command()
@click.argument("directory", metavar="[DIR]", type=click.Path(path_type=Path), required=False)
@json_option
def kit(directory: Path | None, as_json: bool) -> None:
    """Write the recovery kit: RESTORE.md, plain scripts, sealed passwords.

    It goes to DIR, or to the places that `kit` in fleet.yaml names, where the coordinator also
    renews it after each proved backup. All machines are asked over SSH for their units and
    configuration; what could not be had is named.
    """
    settings = home.settings()
    found = load(settings.fleet, settings.runbooks)
    if isinstance(found, tuple):
        raise faulty(found)
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    into = str(directory.absolute()) if directory else ""
    try:
        made = write(found, settings, time.time(), folder=into)
    except KitNotPlaced as fault:
        raise Stop(Exit.FAULT, fault) from fault
    wanted = found.inventory.kit
    folder = into or (wanted.folder if wanted else "")
    points = [each.id for each in made.points]
    if as_json:
        shown = {"folder": folder, "files": sorted(made.files), "points": points}
        print_json({**shown, "sealed": made.sealed, "missing": list(made.missing)})
        return
    for each in made.missing:
        tell(f"not in the kit: {each}")
    click.echo(f"{folder}: {len(made.files)} files, {made.sealed} of them sealed, ")
    newest = f"the newest of {len(points)} restore points is {points[0]}" if points else "no backup"
    click.echo(f"{newest}; start with {folder}/RESTORE.md")
