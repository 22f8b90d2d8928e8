"""Sealing a secret with age for those who may open it.

What lives here: the call of age, and what a recipient looks like. What must not: where secrets come
from. Debian's own program, because a stranger has that one too; the secret goes by standard input
and the sealed text comes back as text, so nothing is ever written in clear.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.host import Host

SECONDS = 30.0
_KEY = re.compile(r"age1[02-9ac-hj-np-z]{58}|ssh-(?:ed25519|rsa) [A-Za-z0-9+/]+={0,3}")


class NotSealed(Exception):
    """A secret could not be sealed, so no kit was written; mend what is named and make it again."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who can open the kit: a public key, and whose it is."""

    key: str
    name: str = ""

    @property
    def line(self) -> str:
        """As recipients.txt has it: age -R reads that file too."""
        return f"# {self.name}\n{self.key}\n" if self.name else f"{self.key}\n"


def read_recipient(text: str) -> Recipient | None:
    """A public key of age or SSH and, after it, whose it is; None when it is no such key."""
    match = _KEY.match(text)
    if match is None or text[match.end() : match.end() + 1] not in ("", " "):
        return None
    return Recipient(match[0], text[match.end() :].strip())


def seal(host: Host, secret: str, recipients: Sequence[Recipient]) -> str:
    """Raises NotSealed."""
    named = [word for each in recipients for word in ("-r", each.key)]
    ran = host.run(("age", "--armor", *named), seconds=SECONDS, stdin=secret.encode())
    if ran.exit_code == 127:
        raise NotSealed("age is missing on the coordinator's machine: apt-get install age")
    if not ran.ok or "BEGIN AGE ENCRYPTED FILE" not in ran.out:
        raise NotSealed(f"age: {ran.complaint}")
    return ran.out
