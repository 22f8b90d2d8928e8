"""A real mail server on loopback that keeps what it takes, and can refuse, dawdle and ask who."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.integration.rig import free_port


@dataclass(frozen=True)
class Mail:
    """One that was taken."""

    at: float
    recipients: tuple[str, ...]
    message: EmailMessage

    @property
    def subject(self) -> str:
        return str(self.message["Subject"])

    @property
    def text(self) -> str:
        return str(self.message.get_content())


class Mailbox:
    """Its handler. `refusals` are answers to the next mails, taken from the front."""

    def __init__(self, port: int = 0) -> None:
        self.port = port or free_port()
        self.mails: list[Mail] = []
        self.refusals: list[str] = []
        self.unknown: set[str] = set()
        self.dawdles = 0.0

    async def handle_RCPT(  # noqa: N802 aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        if address in self.unknown:
            return "550 5.1.1 no such person here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        await asyncio.sleep(self.dawdles)
        if self.refusals:
            return self.refusals.pop(0)
        content = envelope.content
        assert isinstance(content, bytes)
        message = message_from_bytes(content, policy=default)
        self.mails.append(Mail(time.time(), tuple(envelope.rcpt_tos), message))
        return "250 OK"

    def to(self, person: str) -> list[Mail]:
        return [each for each in self.mails if f"{person}@example.com" in each.recipients]

    def url(self, scheme: str = "smtp+plain", user: str = "") -> str:
        return f"{scheme}://{user}localhost:{self.port}"

    @contextmanager
    def open(
        self,
        *,
        starttls: ssl.SSLContext | None = None,
        tls: ssl.SSLContext | None = None,
        password: str = "",
    ) -> Iterator[Mailbox]:
        def known(_server: Any, _session: Any, _envelope: Any, _way: str, data: Any) -> AuthResult:
            good = isinstance(data, LoginPassword) and data.password == password.encode()
            return AuthResult(success=good, handled=False)

        controller = Controller(
            self,
            hostname="127.0.0.1",
            port=self.port,
            ssl_context=tls,
            tls_context=starttls,
            require_starttls=starttls is not None,
            auth_required=bool(password),
            authenticator=known,
            server_hostname="localhost",
        )
        controller.start()
        try:
            yield self
        finally:
            controller.stop()
