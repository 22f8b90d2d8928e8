"""Everything but plain mail, through Apprise: Slack, Telegram, ntfy, webhooks and the rest.

What lives here: Apprise with its answers in our words. What must not: plain mail (mail.py).
Apprise is imported when the first such contact is met: it costs every process 30 MB.

A reach is secret in most of its parts, and what Apprise says may quote any of them. Its own
log is kept away from ours, and its reasons lose every piece of the reach before they are told.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

from orchestrator.notify.channel import SEND_SECONDS, Failed, Message

if TYPE_CHECKING:
    from apprise.plugins import NotifyBase


def understands(reach: str) -> bool:
    return _service(reach) is not None


def send_through_apprise(reach: str, message: Message) -> Failed | None:
    from apprise import Apprise, AppriseResultStatus, NotifyFormat

    service = _service(reach)
    if service is None:
        return Failed("this version of Apprise cannot read the contact's reach", hopeless=True)
    sender = Apprise(service)
    try:
        result = sender.notify(
            title=message.title,
            body=message.body,
            body_format=NotifyFormat.TEXT,
            timeout=SEND_SECONDS,
        )
    except Exception as error:  # noqa: BLE001 a plugin may raise anything, and others are waiting
        return Failed(without(reach, f"{service.service_name}: {type(error).__name__}: {error}"))
    if result:
        return None
    if result.status is AppriseResultStatus.TIMEOUT:
        return Failed(f"{service.service_name}: no answer within {SEND_SECONDS:.0f} s")
    said = [entry.message for each in result for attempt in each for entry in attempt]
    text = " ".join("; ".join(said).split()) or "it was not sent"
    return Failed(without(reach, f"{service.service_name}: {text}")[:300])


def without(reach: str, text: str) -> str:
    """The text without any piece of the reach that could be a secret."""
    _, _, rest = reach.partition("://")
    pieces = {rest, *re.split(r"[/:@?&=#,]", rest)}
    for piece in sorted(pieces, key=len, reverse=True):
        if len(piece) >= 3:
            text = text.replace(piece, "…")
    return text


def _service(reach: str) -> NotifyBase | None:
    from apprise import Apprise, OverflowMode

    quiet = logging.getLogger("apprise")
    if quiet.propagate:
        quiet.propagate = False
        quiet.addHandler(logging.NullHandler())
    try:
        made: Any = Apprise.instantiate(reach, suppress_exceptions=True)
    except Exception:  # noqa: BLE001 whatever a plugin makes of a malformed URL, it is malformed
        return None
    if made is not None and "overflow=" not in reach:
        # What is too long for a messenger would be refused whole; the most important comes first.
        made.overflow_mode = OverflowMode.TRUNCATE
    service: NotifyBase | None = made
    return service
