"""`up`, `coordinator`, `beat` and `agent`: the processes themselves.

What lives here: starting them. What must not: what they do (orchestrator/up.py, workers/).
"""

from __future__ import annotations

import os
import sys

import click

from orchestrator.commands import home
from orchestrator.commands.ending import json_option, print_json


@click.command()
@json_option
def up(as_json: bool) -> None:
    """Run broker, coordinator, beat, agent and Flower.

    The agent is that of this machine, the fleet's `control`. What dies is started again.
    Without AUTOBOT_DR_BROKER_URL the broker is an embedded Valkey with its data under home.
    Ends all of them at Ctrl-C or SIGTERM.
    """
    from orchestrator.up import run_up

    run_up(home.settings(), as_json=as_json)


@click.command()
@json_option
def coordinator(as_json: bool) -> None:
    """Run the coordinator alone.

    For service managers, which restart it when it dies. Needs AUTOBOT_DR_BROKER_URL.
    """
    _become("workers.coordinator", as_json)


@click.command()
@json_option
def beat(as_json: bool) -> None:
    """Run a beat alone: it says when backups are due.

    For service managers. Several may run at once; each backup is still taken once. Needs
    AUTOBOT_DR_BROKER_URL.
    """
    _become("workers.beat", as_json)


@click.command()
@json_option
def agent(as_json: bool) -> None:
    """Run a machine's agent alone.

    For service managers, which restart it when it dies.

    \b
    Settings: AUTOBOT_DR_MACHINE, AUTOBOT_DR_BROKER_URL, AUTOBOT_DR_STATE,
    AUTOBOT_DR_AGENT_KEY, AUTOBOT_DR_COORDINATOR_PUB
    """
    _become("workers.agent", as_json)


def _become(module: str, as_json: bool) -> None:
    """This process itself, so that a service manager sees and ends the real one."""
    argv = [sys.executable, "-m", module]
    if as_json:
        print_json({"pid": os.getpid(), "argv": argv})
    sys.stdout.flush()
    os.execv(sys.executable, argv)  # noqa: S606 - a list, no shell
