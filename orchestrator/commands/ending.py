"""How a command ends, and the option that all have.

What lives here: exit codes, the exception that carries one, `--json`. What must not: imports
that take time; every command imports this.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from enum import IntEnum
from typing import Any

import click


class Exit(IntEnum):
    """What a script may rely on."""

    DONE = 0
    FAULT = 1
    USAGE = 2
    FAILED = 3  #: a recovery or a verification
    WAITING = 4  #: for approval
    OBJECTIVES = 5  #: not met
    UNREACHABLE = 6  #: the coordinator or the broker


class Stop(Exception):
    """The command ends here, with these sentences for the operator."""

    def __init__(self, code: int, *sentences: object) -> None:
        super().__init__(*sentences)
        self.code, self.sentences = code, [str(each) for each in sentences]


def faulty(faults: Iterable[object]) -> Stop:
    """Every fault, a sentence each."""
    return Stop(Exit.FAULT, *faults)


def tell(sentence: str) -> None:
    """To the operator, beside the output."""
    click.echo(f"autobot-dr: {sentence}", err=True)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def print_json(content: Any) -> None:
    click.echo(json.dumps(content, indent=2, ensure_ascii=False))
