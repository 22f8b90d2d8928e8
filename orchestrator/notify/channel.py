"""The port through which a message leaves, and what goes through it.

What lives here: the message, the failure, the protocol, and how long an attempt may last. What
must not: any way of sending (mail.py, apprised.py, reaching.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

#: An attempt ends by then; well below CLAIM_SECONDS, after which others may try.
SEND_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Message:
    """What one contact is told. `key` names the calls in it, to recognise a double by."""

    key: str
    title: str
    body: str


@dataclass(frozen=True, slots=True)
class Failed:
    """Why it was not sent, without secrets. `hopeless` if trying again would not help."""

    reason: str
    hopeless: bool = False


class Channel(Protocol):
    """Sends to a contact. Contract: it answers within SEND_SECONDS or little more, never raises
    for what happens outside, keeps secrets out of reasons and logs, and may be called from
    several threads at once."""

    def send(self, reach: str, message: Message) -> Failed | None:
        """None once it was taken by whoever carries it on."""
        ...
