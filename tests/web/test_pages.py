"""The review's page: who may see it, and that only its own forms write into it."""

from __future__ import annotations

import re

import httpx
import pytest

from orchestrator.web.access import Role
from tests.web.world import TOKENS, World


class Browser:
    """A browser that was given a token as its password; it keeps no other state."""

    def __init__(self, url: str, role: Role | None) -> None:
        password = httpx.BasicAuth("anybody", TOKENS[role]) if role else None
        self.http = httpx.Client(base_url=url, auth=password, trust_env=False)

    def see(self, path: str) -> httpx.Response:
        return self.http.get(path)

    def token(self, path: str) -> str:
        found = re.search("name=token value=([0-9a-f]{64})", self.see(path).text)
        assert found is not None
        return found[1]

    def send(self, path: str, **fields: str) -> httpx.Response:
        return self.http.post(path, data=fields)


@pytest.fixture
def place(world: World) -> str:
    return f"/incidents/{world.fails().id}/review"


def test_a_browser_is_asked_for_a_password(url: str, place: str) -> None:
    nobody = Browser(url, None).see(place)
    assert nobody.status_code == 401
    assert nobody.headers["www-authenticate"].startswith('Basic realm="AutoBot DR"')
    assert "nothing listens" not in nobody.text
    wrong = httpx.get(url + place, auth=("viewer", "guessed"), trust_env=False)
    assert wrong.status_code == 401
    broken = httpx.get(url + place, headers={"Authorization": "Basic %%%"}, trust_env=False)
    assert broken.status_code == 401


def test_the_page_loads_nothing_and_cannot_be_framed(url: str, place: str) -> None:
    page = Browser(url, Role.OPERATOR).see(place)
    assert page.status_code == 200
    assert "nothing listens" in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["cache-control"] == "no-store"
    assert "<script" not in page.text


def test_the_api_takes_no_password(url: str, world: World) -> None:
    incident = world.fails()
    answer = Browser(url, Role.ADMIN).http.post(f"/api/v1/incidents/{incident.id}/ack")
    assert answer.status_code == 401
    assert world.store.load(incident.run).incident.acknowledged_by == ""  # type: ignore[union-attr]


def test_forms_write_and_the_page_shows_it(url: str, place: str, world: World) -> None:
    browser = Browser(url, Role.OPERATOR)
    token = browser.token(place)
    for form, text in (("root_cause", "a leak"), ("lesson", "watch m\u00e9mory")):
        sent = browser.send(place, form=form, token=token, text=text)
        assert (sent.status_code, sent.headers["location"]) == (303, place)
    browser.send(place, form="follow-up", token=token, text="more memory", owner="bob")
    (todo,) = world.store.notebook.open_follow_ups()
    assert (todo.text, todo.owner, todo.by) == ("more memory", "bob", "operator")
    page = browser.see(place).text
    for text in ("a leak", "watch m\u00e9mory", "more memory"):
        assert text in page
    browser.send(place, form="done", token=token, number=str(todo.number))
    assert list(world.store.notebook.open_follow_ups()) == []


def test_a_viewer_reads_and_has_no_forms(url: str, place: str, world: World) -> None:
    viewer = Browser(url, Role.VIEWER)
    page = viewer.see(place)
    assert page.status_code == 200
    assert "<form" not in page.text
    token = Browser(url, Role.OPERATOR).token(place)
    assert viewer.send(place, form="lesson", token=token, text="x").status_code == 403
    assert list(world.store.notebook.findings([place.split("/")[2]])) == []


def test_a_form_of_another_site_or_caller_or_incident_writes_nothing(
    url: str, place: str, world: World
) -> None:
    browser, other = Browser(url, Role.OPERATOR), f"/incidents/{world.fails().id}/review"
    foreign = [
        "",
        "0" * 64,
        "caf\u00e9",
        Browser(url, Role.ADMIN).token(place),
        browser.token(other),
    ]
    for token in foreign:
        answer = browser.send(place, form="lesson", token=token, text="x")
        assert answer.status_code == 403
        assert "Foreign form" in answer.text
    assert browser.send(place, form="lesson", text="x").status_code == 403
    assert list(world.store.notebook.findings([place.split("/")[2]])) == []


BAD = [
    {"form": "lesson", "text": ""},
    {"form": "lesson", "text": "x" * 4001},
    {"form": "follow-up", "text": "x", "owner": "y" * 101},
    {"form": "done", "number": "x"},
    {"form": "done"},
    {"form": "delete", "text": "x"},
    {"text": "x"},
]


@pytest.mark.parametrize("fields", BAD)
def test_a_form_that_is_wrong_is_answered_with_a_page(
    url: str, place: str, world: World, fields: dict[str, str]
) -> None:
    browser = Browser(url, Role.OPERATOR)
    answer = browser.send(place, **fields, token=browser.token(place))
    assert answer.status_code == 422
    assert answer.headers["content-type"].startswith("text/html")
    assert "nothing was written" in answer.text
    assert list(world.store.notebook.open_follow_ups()) == []


def test_what_is_no_form_at_all_is_refused(url: str, place: str) -> None:
    browser = Browser(url, Role.OPERATOR)
    for content in (b"\xff\xfe", "&".join(f"f{n}=1" for n in range(50)).encode()):
        assert browser.http.post(place, content=content).status_code == 400
    missing = browser.see("/incidents/none/review")
    assert (missing.status_code, "incident list" in missing.text) == (404, True)


def test_a_long_text_in_many_bytes_is_taken(url: str, place: str, world: World) -> None:
    browser = Browser(url, Role.OPERATOR)
    text = "\u6f22" * 4000
    sent = browser.send(place, form="lesson", token=browser.token(place), text=text)
    assert sent.status_code == 303
    (kept,) = world.store.notebook.findings([place.split("/")[2]])
    assert kept.text == text
