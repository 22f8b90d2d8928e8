"""Mail to one person over SMTP: the channel that needs no service of somebody else's.

What lives here: the mail server as a setting, and one bounded attempt to hand it a message.
What must not: retries (core/escalation.py) and other channels.

Not through Apprise, for three things that it does not give: a Message-ID of our own, by which
mail systems show a message that had to be sent twice only once; the server's answer, which says
whether trying again helps; and one deadline for the whole exchange.
"""

from __future__ import annotations

import hashlib
import smtplib
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from urllib.parse import unquote, urlsplit

from orchestrator.core.plan import Fault
from orchestrator.notify.channel import SEND_SECONDS, Failed, Message

PLACE = "AUTOBOT_DR_SMTP_URL"
#: How the connection is secured, and the usual port, by the URL's scheme.
_SCHEMES = {"smtp": ("starttls", 587), "smtps": ("tls", 465), "smtp+plain": ("none", 25)}
_WANTED = (
    "write smtp://user:password@host:587 (STARTTLS), smtps://… (TLS from the start) or "
    "smtp+plain://host:25 (unprotected, for a relay on this machine)"
)


@dataclass(frozen=True, slots=True)
class MailServer:
    """Whom mail is handed to."""

    host: str
    port: int
    security: str  #: starttls, tls or none
    sender: str
    user: str = ""
    password: str = field(default="", repr=False)
    seconds: float = SEND_SECONDS  #: for the whole exchange


def read_mail_server(url: str, sender: str) -> MailServer | Fault:
    """The server behind the setting; the fault never repeats it, since it holds a password."""
    try:
        parts = urlsplit(url)
        security, usual = _SCHEMES[parts.scheme]
        host, port = parts.hostname or "", parts.port or usual
    except (ValueError, LookupError):
        return Fault(PLACE, f"cannot be read; {_WANTED}")
    if not host or parts.path.strip("/") or parts.query or parts.fragment:
        return Fault(PLACE, f"must be a server and nothing more; {_WANTED}")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if user and security == "none":
        return Fault(PLACE, "would send its password unprotected; use smtp:// or smtps://")
    sender = sender or f"autobot-dr@{socket.getfqdn()}"
    return MailServer(host, port, security, sender, user, password)


def send_mail(server: MailServer, address: str, message: Message) -> Failed | None:
    """None once the server has taken it."""
    mail = written(server, address, message)
    try:
        _hand_over(server, address, mail)
    except smtplib.SMTPRecipientsRefused as refused:
        code, said = refused.recipients[address]
        return _answered(server, code, said)
    except smtplib.SMTPResponseException as refused:
        return _answered(server, refused.smtp_code, refused.smtp_error)
    except (smtplib.SMTPException, OSError, ValueError) as error:
        return Failed(f"mail server {server.host}:{server.port}: {_reason(error)}")
    return None


def written(server: MailServer, address: str, message: Message) -> EmailMessage:
    digest = hashlib.sha256(f"{message.key} {address}".encode()).hexdigest()[:40]
    mail = EmailMessage(policy=SMTP.clone(cte_type="7bit"))
    mail["From"] = server.sender
    mail["To"] = address
    mail["Subject"] = message.title
    mail["Date"] = formatdate()
    mail["Message-ID"] = f"<{digest}@{server.sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-AutoBot-DR-Call"] = message.key
    mail.set_content(message.body)
    return mail


def _hand_over(server: MailServer, address: str, mail: EmailMessage) -> None:
    ends = time.monotonic() + server.seconds

    def left() -> float:
        rest = ends - time.monotonic()
        if rest <= 0:
            raise TimeoutError(f"it took longer than {server.seconds:.0f} s")
        return rest

    context = ssl.create_default_context()
    if server.security == "tls":
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(
            server.host, server.port, timeout=left(), context=context
        )
    else:
        smtp = smtplib.SMTP(server.host, server.port, timeout=left())
    try:
        _speak(smtp, server, address, mail, left, context)
    finally:
        smtp.close()


def _speak(
    smtp: smtplib.SMTP,
    server: MailServer,
    address: str,
    mail: EmailMessage,
    left: Callable[[], float],
    context: ssl.SSLContext,
) -> None:
    def bounded() -> smtplib.SMTP:
        if smtp.sock is not None:
            smtp.sock.settimeout(left())
        return smtp

    bounded().ehlo_or_helo_if_needed()
    if server.security == "starttls":
        bounded().starttls(context=context)
        bounded().ehlo()
    if server.user:
        bounded().login(server.user, server.password)
    code, said = bounded().mail(server.sender)
    if code != 250:
        raise smtplib.SMTPSenderRefused(code, said, server.sender)
    code, said = bounded().rcpt(address)
    if code not in (250, 251):
        raise smtplib.SMTPRecipientsRefused({address: (code, said)})
    code, said = bounded().data(mail.as_bytes())
    if code != 250:
        raise smtplib.SMTPDataError(code, said)
    # It is taken; how the server says good-bye changes nothing.
    with suppress(smtplib.SMTPException, OSError):
        bounded().quit()


def _answered(server: MailServer, code: int, said: bytes | str) -> Failed:
    """The server's own answer. 5xx is for good, 4xx for now."""
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    reason = f"mail server {server.host}:{server.port} refused: {code} {' '.join(text.split())}"
    return Failed(reason[:300], hopeless=500 <= code < 600)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return " ".join(str(error).split())[:200] or type(error).__name__
