"""Plain mail against a real SMTP server, everything else through Apprise to a real web server."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

import pytest

from orchestrator.notify.channel import Failed, Message
from orchestrator.notify.mail import MailServer, read_mail_server
from orchestrator.notify.reaching import Channels
from tests.integration.rig import free_port
from tests.notify.certificates import for_localhost
from tests.notify.mailbox import Mailbox
from tests.notify.webhook import hook

MESSAGE = Message(
    "run-1/7/0/Primary", "[CRITICAL] caf\u00e9 is down (shop)", "Was ist? \U0001f525\n"
)
PERSON = "mailto://person@example.com"


def channels(url: str, sender: str = "dr@shop.example") -> Channels:
    server = read_mail_server(url, sender)
    assert isinstance(server, MailServer), server
    return Channels(server)


def test_a_mail_arrives_as_it_was_written() -> None:
    with Mailbox().open() as box:
        assert channels(box.url()).send(PERSON, MESSAGE) is None
    [mail] = box.mails
    assert mail.recipients == ("person@example.com",)
    assert mail.subject == MESSAGE.title
    assert mail.text.replace("\r\n", "\n") == MESSAGE.body
    assert mail.message["From"] == "dr@shop.example"
    assert mail.message["X-AutoBot-DR-Call"] == MESSAGE.key


def test_a_doubled_mail_has_the_same_id_and_another_one_has_not() -> None:
    with Mailbox().open() as box:
        sender = channels(box.url())
        for message in (MESSAGE, MESSAGE, Message("run-1/7/1/Lead", "t", "b")):
            assert sender.send(PERSON, message) is None
    first, second, other = (mail.message["Message-ID"] for mail in box.mails)
    assert first == second != other
    assert str(first).endswith("@shop.example>")


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_with_tls_and_a_password(
    tmp_path: Path, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, trusted = for_localhost(tmp_path)
    if scheme == "smtp":
        opened, user = Mailbox().open(starttls=context, password="hunter2"), "me:hunter2@"
    else:
        # aiosmtpd takes passwords after STARTTLS only.
        opened, user = Mailbox().open(tls=context), ""
    with opened as box:
        strange = channels(box.url(scheme, user)).send(PERSON, MESSAGE)
        assert strange is not None
        assert "certificate" in strange.reason
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        assert channels(box.url(scheme, user)).send(PERSON, MESSAGE) is None
        if user:
            wrong = channels(box.url(scheme, "me:hunter3@")).send(PERSON, MESSAGE)
            assert wrong is not None
            assert wrong.hopeless
            assert "535" in wrong.reason
            assert "hunter3" not in wrong.reason
    assert len(box.mails) == 1


def test_a_server_without_starttls_gets_neither_password_nor_mail() -> None:
    with Mailbox().open() as box:
        failed = channels(box.url("smtp", "me:hunter2@")).send(PERSON, MESSAGE)
    assert failed is not None
    assert "STARTTLS" in failed.reason
    assert box.mails == []


def test_the_servers_answer_says_whether_trying_again_helps() -> None:
    with Mailbox().open() as box:
        sender = channels(box.url())
        box.unknown = {"person@example.com"}
        box.refusals = ["451 4.7.1 greylisted", "554 5.7.1 looks like spam"]
        unknown = sender.send(PERSON, MESSAGE)
        later, never = (sender.send("mailto://other@example.com", MESSAGE) for _ in range(2))
    said = f"mail server localhost:{box.port} refused: "
    assert unknown == Failed(f"{said}550 5.1.1 no such person here", hopeless=True)
    assert later == Failed(f"{said}451 4.7.1 greylisted")
    assert never == Failed(f"{said}554 5.7.1 looks like spam", hopeless=True)


def test_nobody_listens() -> None:
    failed = channels(f"smtp+plain://localhost:{free_port()}").send(PERSON, MESSAGE)
    assert failed is not None
    assert "Connection refused" in failed.reason
    assert not failed.hopeless


def test_a_server_that_says_nothing_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        server = MailServer("127.0.0.1", port, "none", "dr@shop.example", seconds=0.5)
        failed = Channels(server).send(PERSON, MESSAGE)
    assert failed is not None
    assert "timed out" in failed.reason


def test_without_a_mail_server_mail_fails_and_says_why() -> None:
    failed = Channels(None).send(PERSON, MESSAGE)
    assert failed == Failed("there is no mail server; set AUTOBOT_DR_SMTP_URL", hopeless=True)


def test_a_webhook_through_apprise() -> None:
    with hook() as (kept, at):
        assert Channels(None).send(f"json://{at}/token", MESSAGE) is None
    [(path, posted)] = kept.posted
    assert path == "/token"
    assert posted["title"] == MESSAGE.title
    assert posted["message"].strip() == MESSAGE.body.strip()


def test_a_webhook_that_refuses_keeps_its_secrets(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with hook() as (kept, at):
        kept.status = 500
        refused = Channels(None).send(f"json://me:hunter2@{at}/s3cret-token", MESSAGE)
    gone = Channels(None).send(f"json://127.0.0.1:{free_port()}/s3cret-token", MESSAGE)
    for failed in (refused, gone):
        assert failed is not None
        assert not failed.hopeless
        assert failed.reason.startswith("JSON: ")
    told = f"{refused} {gone} {caplog.text}"
    assert "hunter2" not in told
    assert "s3cret" not in told


def test_what_is_too_long_for_a_messenger_is_cut_and_not_refused() -> None:
    with hook() as (kept, at):
        long = Message("k", "t", "x" * 100_000)
        assert Channels(None).send(f"json://{at}/", long) is None
        assert len(kept.posted) == 1
    assert len(kept.posted[0][1]["message"]) < 100_000
