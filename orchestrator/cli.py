"""The command line: `autobot-dr COMMAND`.

What lives here: the list of commands, and the one place where a failure becomes a sentence on
standard error and an exit code. What must not: the commands themselves; each is imported when
it is called, because at three in the morning a second of start-up counts.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec

import click

from orchestrator.commands.ending import Exit, Stop, tell

#: Where each command is. A command is listed when its module is installed.
COMMANDS = {
    "init": "orchestrator.commands.files",
    "validate": "orchestrator.commands.files",
    "plan": "orchestrator.commands.plan",
    "recover": "orchestrator.commands.recover",
    "run": "orchestrator.commands.runs",
    "status": "orchestrator.commands.status",
    "incident": "orchestrator.commands.incidents",
    "backup": "orchestrator.commands.backups",
    "state": "orchestrator.commands.state",
    "maintenance": "orchestrator.commands.maintenance",
    "up": "orchestrator.commands.processes",
    "coordinator": "orchestrator.commands.processes",
    "beat": "orchestrator.commands.processes",
    "agent": "orchestrator.commands.processes",
    "lab": "deploy.lab.cli",
}


class Commands(click.Group):
    """Imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return [name for name, module in COMMANDS.items() if find_spec(module)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = getattr(import_module(COMMANDS[cmd_name]), cmd_name)
        return command


@click.group(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="autobot-dr", prog_name="autobot-dr")
def cli() -> None:
    """Brings a fleet of machines back after a failure, in the right order, and proves it.

    \b
    The first time:   autobot-dr init, then autobot-dr up
    Something failed: autobot-dr status, autobot-dr plan SCENARIO, autobot-dr recover SCENARIO

    Files are looked for in AUTOBOT_DR_HOME, or else in the current folder.

    \b
    Exit codes: 0 done, 1 fault, 2 usage, 3 recovery or verification failed,
    4 waiting for approval, 5 objectives not met, 6 coordinator or broker not reachable
    """


def main() -> None:
    sys.exit(run())


def run() -> int:
    try:
        cli.main(prog_name="autobot-dr", standalone_mode=False)
    except Stop as stop:
        for sentence in stop.sentences:
            tell(sentence)
        return stop.code
    except click.exceptions.NoArgsIsHelpError as shown:
        click.echo(shown.format_message())
        return Exit.USAGE
    except click.ClickException as wrong:
        context = getattr(wrong, "ctx", None)
        command = context.command_path if context else "autobot-dr"
        said = wrong.format_message().rstrip(".")
        tell(f"{said}; `{command} --help` shows what it takes")
        return Exit.USAGE
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        # Whoever read our output has enough; Python must not complain when it flushes.
        sys.stdout = None
        return Exit.FAULT
    return Exit.DONE
