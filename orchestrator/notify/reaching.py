"""Which way a contact is reached, and whether that can work at all.

What lives here: the channel that chooses, and the faults of a reach that can be found without
sending. What must not: the ways themselves (mail.py, apprised.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from orchestrator.core.escalation import Contact, mail_address
from orchestrator.core.plan import Fault
from orchestrator.notify.apprised import send_through_apprise, understands
from orchestrator.notify.channel import Failed, Message
from orchestrator.notify.mail import PLACE, MailServer, send_mail


@dataclass(frozen=True, slots=True)
class Channels:
    """A `Channel`: plain mail by our own mail server, all else by Apprise."""

    server: MailServer | None

    def send(self, reach: str, message: Message) -> Failed | None:
        address = mail_address(reach)
        if address is None:
            return send_through_apprise(reach, message)
        if self.server is None:
            return Failed(f"there is no mail server; set {PLACE}", hopeless=True)
        return send_mail(self.server, address, message)


def reach_complaint(reach: str) -> str:
    """What is wrong with a reach; never the reach itself, which may hold a password."""
    if mail_address(reach) is not None or understands(reach):
        return ""
    scheme = reach.partition("://")[0] if "://" in reach else ""
    what = f"a {scheme}:// address" if scheme.isalnum() else "an address"
    return (
        f"is not {what} that Apprise can read; write mailto://person@example.com, or the URL of "
        "another service as appriseit.com has it"
    )


def without_mail_server(contacts: Iterable[Contact], server: MailServer | None) -> Iterator[Fault]:
    """Mail needs a server; without one nobody would notice until the first call."""
    roles = [each.role for each in contacts if mail_address(each.reach) is not None]
    if roles and server is None:
        message = (
            f"is not set, and {', '.join(roles)} can be reached by mail only; set it, "
            "as in smtp://user:password@mail.example.com:587"
        )
        yield Fault(PLACE, message)
