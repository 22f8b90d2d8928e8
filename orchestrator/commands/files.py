"""`init` and `validate`: the files of an installation.

What lives here: these two commands. What must not: writing or judging files; setup.py and
config.py do that.
"""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.commands import home
from orchestrator.commands.ending import Exit, Stop, faulty, json_option, print_json, tell
from orchestrator.config import load
from orchestrator.kitkeeping import unmade
from orchestrator.notify.opening import calling_faults
from orchestrator.setup import CannotInitialise, initialise


@click.command()
@click.argument("directory", type=click.Path(path_type=Path), required=False)
@json_option
def init(directory: Path | None, as_json: bool) -> None:
    """Write starter files, keys and a token.

    They go into DIRECTORY: fleet.yaml, runbooks/, keys/, api.token, tokens.yaml. Without
    DIRECTORY: into AUTOBOT_DR_HOME or the current folder. What is there already is left as it
    is, so running it again completes what is missing.
    """
    given = (directory or home.settings().home).resolve()
    try:
        written = initialise(given)
    except CannotInitialise as cannot:
        raise Stop(Exit.FAULT, cannot) from cannot
    if as_json:
        print_json({"home": str(given), "written": [str(each) for each in written]})
        return
    for each in written:
        click.echo(f"wrote {each}")
    if not written:
        click.echo(f"{given} has everything already; nothing was written")
    if given != Path.cwd():
        click.echo(f"\nUse it with: export AUTOBOT_DR_HOME={given}")
    click.echo(
        "\nDescribe your fleet in fleet.yaml and name who is called (`contacts`), "
        "then: autobot-dr validate, autobot-dr up"
    )


@click.command()
@json_option
def validate(as_json: bool) -> None:
    """Show every fault of the files, and warnings.

    Reads fleet.yaml and the runbooks; changes nothing.
    """
    given = home.settings()
    found = load(given.fleet, given.runbooks)
    faults = found if isinstance(found, tuple) else calling_faults(found, given)
    warnings = () if isinstance(found, tuple) else (*found.warnings, *unmade(found, given))
    if as_json:
        shown = {"faults": faults, "warnings": warnings}
        print_json(
            {
                kind: [{"place": each.place, "message": each.message} for each in all_of_it]
                for kind, all_of_it in shown.items()
            }
        )
    if isinstance(found, tuple) or faults:
        raise Stop(Exit.FAULT) if as_json else faulty(faults)
    if not as_json:
        for each in warnings:
            tell(f"warning: {each}")
        fleet = found.fleet
        click.echo(
            f"sound: fleet {fleet.name} with {len(fleet.machines)} machines and "
            f"{len(fleet.services)} services, {len(found.plans)} scenarios "
            f"({', '.join(sorted(found.plans))})"
        )
