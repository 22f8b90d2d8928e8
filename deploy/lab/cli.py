"""`autobot-dr lab`: the practice fleet on the command line.

What lives here: options and words. What must not: anything a program could want without them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from typing import Any

import click

from deploy.lab import LabFault
from deploy.lab import lab as labs
from deploy.lab.kinds import Kind
from deploy.lab.rootfs import CannotBuild

FAULT = 1  #: the exit code of a fault (FACES.md)

home_option = click.option(
    "--home", type=click.Path(path_type=Path), help="The lab's folder, if not the usual one."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")


def _explained(command: Callable[..., None]) -> Callable[..., None]:
    """A fault is one sentence on standard error and exit code 1."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except (LabFault, CannotBuild) as fault:
            click.echo(str(fault), err=True)
            sys.exit(FAULT)

    return run


@click.group()
def lab() -> None:
    """The practice fleet: machines to break and to bring back."""


@lab.command()
@click.option("--driver", type=click.Choice(labs.drivers()), help="nspawn where it can be used.")
@home_option
@json_option
@_explained
def up(driver: str | None, home: Path | None, as_json: bool) -> None:
    """Make the lab and power all its machines."""
    chosen = driver or ("process" if labs.why_not("nspawn") else "nspawn")
    made = labs.prepare(chosen, home, tell=lambda line: click.echo(line, err=True))
    made.power_all("start")
    made.wait_booted()
    _show(made, as_json)


@lab.command()
@home_option
@json_option
@_explained
def down(home: Path | None, as_json: bool) -> None:
    """Remove the lab, also one that a killed run left."""
    found = labs.find(home)
    found.down()
    click.echo(json.dumps({"removed": str(found.home)}) if as_json else f"removed {found.home}")


@lab.command()
@home_option
@json_option
@_explained
def status(home: Path | None, as_json: bool) -> None:
    """Every machine's power, and its units where it can be asked."""
    _show(labs.find(home), as_json)


@lab.command("break")
@click.argument("kind", type=click.Choice([each.value for each in Kind]))
@click.argument("target", default="")
@click.option("--seconds", type=float, help="How long, for a fault that has a length.")
@home_option
@json_option
@_explained
def break_(kind: str, target: str, seconds: float | None, home: Path | None, as_json: bool) -> None:
    """Break TARGET on purpose.

    A machine or several (a,b), a unit, or machine/unit; nothing for everything-down and
    coordinator-cut.
    """
    _faults("broken", labs.find(home).break_(kind, target, seconds=seconds), as_json)


@lab.command()
@click.argument("target", default="")
@home_option
@json_option
@_explained
def mend(target: str, home: Path | None, as_json: bool) -> None:
    """Undo what was broken, everywhere or at TARGET."""
    _faults("mended", labs.find(home).mend(target), as_json)


def _show(found: labs.Lab, as_json: bool) -> None:
    machines = found.status()
    if as_json:
        about = {"home": str(found.home), "driver": found.driver, "prefix": found.prefix()}
        click.echo(json.dumps({**about, "machines": [asdict(each) for each in machines]}))
        return
    click.echo(f"{found.driver} lab at {found.home}")
    for each in machines:
        units = ", ".join(f"{name} {state}" for name, state in each.units.items())
        power = f"{each.power}, cable cut" if each.cut else each.power
        click.echo(f"  {each.name:<10}{each.address:<16}{each.vm:<18}{power:<10}{units}")


def _faults(word: str, faults: list[Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({word: [asdict(each) for each in faults]}))
        return
    click.echo("\n".join(f"{word}: {each}" for each in faults) or f"nothing was {word}")
