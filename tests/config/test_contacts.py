"""Who cannot be called is a fault, told without what a reach holds in secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.config import Configuration, load
from orchestrator.core.escalation import Contact
from orchestrator.core.plan import Fault
from orchestrator.notify.mail import MailServer, read_mail_server
from tests.config.small import FLEET, written

REACH = "reach: mailto://owner@example.com"


def uncallable(folder: Path, fleet: str) -> list[str]:
    found = load(*written(folder, fleet))
    assert isinstance(found, Configuration), found
    return [str(each).replace(f"{folder}/", "") for each in found.uncallable]


def test_contacts_that_can_be_called(tmp_path: Path) -> None:
    slack = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general"
    fleet = FLEET.replace(REACH, f'{REACH}}}\n  - {{role: Boss, after: 15 min, reach: "{slack}"')
    assert uncallable(tmp_path, fleet) == []
    found = load(tmp_path / "fleet.yaml", tmp_path / "runbooks")
    assert isinstance(found, Configuration)
    assert found.inventory.contacts == (
        Contact("Owner", 0.0, "mailto://owner@example.com"),
        Contact("Boss", 900.0, slack),
    )
    assert [each.shown for each in found.inventory.contacts] == [
        "mailto://owner@example.com",
        "slack://…",
    ]
    assert "TIiajk" not in repr(found.inventory.contacts)


def test_nobody_is_a_word_and_a_warning(tmp_path: Path) -> None:
    fleet = FLEET.replace(f"contacts:\n  - {{role: Owner, after: 0, {REACH}}}", "contacts: nobody")
    found = load(*written(tmp_path, fleet))
    assert isinstance(found, Configuration)
    assert found.inventory.contacts == ()
    assert [str(each).replace(f"{tmp_path}/", "") for each in found.warnings] == [
        (
            "fleet.yaml line 7, contacts: nobody: nobody will be called, whatever happens; "
            "name who to call"
        )
    ]


def test_a_contact_that_is_not_configured(tmp_path: Path) -> None:
    fleet = FLEET.replace(f", {REACH}", "")
    assert uncallable(tmp_path, fleet) == [
        (
            "fleet.yaml line 8, contacts[0].reach: Owner cannot be called; give an address such as "
            "mailto://person@example.com, or write `contacts: nobody`"
        )
    ]


@pytest.mark.parametrize(
    "reach",
    [
        "owner@example.com",
        "mailto:owner@example.com",
        "mailto://",
        "mailto://owner",
        "garbage://hunter2/token",
        "slack://hunter2",
        "https://hooks.example.com/hunter2",
    ],
)
def test_a_reach_that_nothing_can_read(tmp_path: Path, reach: str) -> None:
    [fault] = uncallable(tmp_path, FLEET.replace(REACH, f'reach: "{reach}"'))
    assert fault.startswith("fleet.yaml line 8, contacts[0].reach: is not a")
    assert "mailto://person@example.com" in fault
    assert "hunter2" not in fault


def test_a_role_stands_for_one_contact(tmp_path: Path) -> None:
    fleet = FLEET.replace(REACH, f"{REACH}}}\n  - {{role: Owner, after: 5 min, {REACH}")
    assert uncallable(tmp_path, fleet) == [
        (
            "fleet.yaml line 9, contacts[1].role: 'Owner' is contacts[0] too; give each a role of "
            "its own"
        )
    ]


def test_other_faults_do_not_hide_those_of_contacts(tmp_path: Path) -> None:
    fleet = FLEET.replace(f", {REACH}", "").replace("control: desk", "control: nowhere")
    found = load(*written(tmp_path, fleet))
    assert not isinstance(found, Configuration)
    assert ["Owner cannot be called" in str(each) for each in found] == [False, True]


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail", MailServer("mail", 587, "starttls", "me@here")),
        ("smtps://mail", MailServer("mail", 465, "tls", "me@here")),
        ("smtp+plain://localhost:2525", MailServer("localhost", 2525, "none", "me@here")),
        (
            "smtp://me%40x:p%3Aw@mail:25",
            MailServer("mail", 25, "starttls", "me@here", "me@x", "p:w"),
        ),
    ],
)
def test_a_mail_server_by_its_url(url: str, server: MailServer) -> None:
    assert read_mail_server(url, "me@here") == server
    assert "p:w" not in repr(read_mail_server(url, "me@here"))


@pytest.mark.parametrize(
    "url",
    [
        *("mail", "http://hunter2@mail", "smtp://", "smtp://x:hunter2@mail:port"),
        *("smtp://mail/hunter2", "smtp+plain://me:hunter2@mail"),
    ],
)
def test_a_mail_server_that_cannot_be_used(url: str) -> None:
    fault = read_mail_server(url, "me@here")
    assert isinstance(fault, Fault)
    assert fault.place == "AUTOBOT_DR_SMTP_URL"
    assert "hunter2" not in str(fault)
